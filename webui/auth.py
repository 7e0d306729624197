"""Who is asking: the login page, the session, API tokens; and the guard before every other page.

The guard is closed by default: a route is open only when it carries `@open_to_all`. A session is a signed
cookie that names the user and a fingerprint of the password, so a new password ends every session. Guessing
is slowed down by address (sharply) and by user name (gently: nobody shall be able to lock the owner out).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import BoundedSemaphore
from typing import TypeVar
from urllib.parse import urlsplit

from flask import (
    Blueprint,
    Flask,
    abort,
    current_app,
    g,
    redirect,
    render_template,
    request,
    session,
    url_for,
)
from flask.typing import ResponseReturnValue

from webui import csrf
from webui.context import appliance
from webui.forms import Form
from webui.show import span
from webui.throttle import Throttle

SAFE = ("GET", "HEAD", "OPTIONS")
LONGEST_SESSION = 7 * 86400.0  # seconds, however busy it is
CHECKS_AT_ONCE = BoundedSemaphore(2)  # a password check costs 16 MiB and a core

blueprint = Blueprint("auth", __name__)
View = TypeVar("View", bound=Callable[..., ResponseReturnValue])


class Gate:
    """The two throttles of one application."""

    def __init__(self) -> None:
        self.by_address = Throttle(free=8, first=2.0, longest=300.0)
        self.by_user = Throttle(free=20, first=1.0, longest=15.0)

    def wait(self, address: str, user: str, now: float) -> float:
        return max(self.by_address.wait(address, now), self.by_user.wait(user, now))

    def count(self, address: str, user: str, now: float) -> None:
        self.by_address.failed(address, now)
        self.by_user.failed(user, now)

    def clear(self, address: str, user: str) -> None:
        self.by_address.passed(address)
        self.by_user.passed(user)


def open_to_all(view: View) -> View:
    """Marks a view that needs no login."""
    view.open_to_all = True  # type: ignore[attr-defined]
    return view


def install(app: Flask) -> None:
    app.extensions["gate"] = Gate()
    app.before_request(guard)
    app.register_blueprint(blueprint)


def guard() -> ResponseReturnValue | None:
    """Before every request: find out who asks, refuse whom we do not know, demand the token on changes."""
    g.user = _by_token() or _by_session()
    view = current_app.view_functions.get(request.endpoint or "")
    is_open = request.endpoint == "static" or getattr(view, "open_to_all", False)
    if g.user is None and not is_open:
        return _turn_away()
    if request.method not in SAFE and not g.get("by_token", False) and not csrf.fits(request):
        abort(403, "This page was open for too long, or did not come from here. Load it again and repeat.")
    return None


def _by_token() -> str | None:
    scheme, _, text = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return None
    user = appliance().users.of_token(text.strip())
    if user is None:
        abort(401, "This API token is not known, or has expired.")
    g.by_token = True
    return user


def _by_session() -> str | None:
    user, stamp, since = session.get("user"), session.get("stamp"), session.get("since")
    if not isinstance(user, str) or not isinstance(since, float) or time.time() - since > LONGEST_SESSION:
        return None
    return user if stamp == appliance().users.fingerprint(user) and stamp is not None else None


def _turn_away() -> ResponseReturnValue:
    accepts = request.accept_mimetypes
    wants_page = request.method in SAFE and (accepts.accept_html or not accepts)
    if not wants_page or request.path.startswith(("/api/", "/events/stream")):
        abort(401, "Log in first.")
    here = request.full_path.rstrip("?")
    return redirect(url_for("auth.login", next=here if here != "/" else None))


@blueprint.get("/login")
@open_to_all
def login() -> ResponseReturnValue:
    if g.user is not None:
        return redirect(_local(request.args.get("next")))
    return render_template("login.html", form=Form({"next": request.args.get("next", "")}))


@blueprint.post("/login")
@open_to_all
def log_in() -> ResponseReturnValue:
    form = Form(request.form.to_dict())
    user, address, gate = form.value("user"), request.remote_addr or "", current_app.extensions["gate"]
    wait = gate.wait(address, user, time.monotonic())
    if wait > 0:
        form.refuse("", f"Too many tries. Wait {span(wait)}, then try again.")
        return render_template("login.html", form=form), 429, {"Retry-After": str(int(wait) + 1)}
    gate.count(address, user, time.monotonic())  # before the check, so that tries at the same time count too
    with CHECKS_AT_ONCE:
        good = appliance().users.check(user, request.form.get("password", ""))
    if not good:
        form.refuse("", "User or password is wrong.")
        return render_template("login.html", form=form), 422
    gate.clear(address, user)
    session.clear()
    session.permanent = True
    session.update(user=user, stamp=appliance().users.fingerprint(user), since=time.time())
    csrf.renew()
    return redirect(_local(form.value("next")))


@blueprint.post("/logout")
def logout() -> ResponseReturnValue:
    session.clear()
    return redirect(url_for("auth.login"))


def _local(target: str | None) -> str:
    """`target` when it is a path of ours; anything that could leave this site becomes the first page."""
    if target and target.startswith("/") and not target.startswith(("//", "/\\")):
        parts = urlsplit(target)
        if not parts.scheme and not parts.netloc:
            return target
    return url_for("board.machines")
