"""The application: one factory, one blueprint for each topic, filters for the templates.

`create_app` needs the appliance and the secret that signs session cookies; everything else has a default.
No state lives in modules, so tests make as many applications as they like.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from pathlib import Path

from flask import Flask, g, url_for
from werkzeug.middleware.proxy_fix import ProxyFix

from bootsrv.appliance.appliance import Appliance
from bootsrv.timeline import words
from webui import (
    actions,
    api,
    api_answers,
    api_captures,
    api_images,
    api_nodes,
    api_trees,
    auth,
    board,
    capture,
    changes,
    context,
    csrf,
    errors,
    exports,
    flight,
    hardware,
    images,
    installing,
    live,
    profiles,
    register,
    security,
    show,
    trees,
)

MOST_BODY = 1 << 20  # bytes; forms and JSON only, images come in by the shell


def create_app(appliance: Appliance, secret: str, stopping: Callable[[], bool] = lambda: False) -> Flask:
    """The WSGI application. `stopping` tells live pages that the server wants to end."""
    app = Flask(__name__)
    app.secret_key = secret
    app.extensions[context.KEY] = appliance
    app.config.update(
        SESSION_COOKIE_NAME="bootsrv",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        PERMANENT_SESSION_LIFETIME=timedelta(hours=12),
        MAX_CONTENT_LENGTH=MOST_BODY,
        MAX_FORM_MEMORY_SIZE=MOST_BODY,
        MAX_FORM_PARTS=20_000,
    )
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    # One forwarder of ours is in front; it drops whatever the client claims and writes its own.
    app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1)  # type: ignore[method-assign]
    auth.install(app)
    pages = (board, register, actions, capture, images, installing, changes, trees, exports, profiles)
    for topic in (*pages, api, api_answers, api_captures, api_images, api_nodes, api_trees):
        app.register_blueprint(topic.blueprint)
    live.install(app, stopping)
    errors.install(app)
    app.after_request(security.harden)
    app.after_request(security.unfold_redirect)
    _teach_templates(app)
    return app


def _teach_templates(app: Flask) -> None:
    app.jinja_env.filters.update(
        size=show.size,
        span=show.span,
        offset=show.offset,
        ago=lambda at: show.ago(at, context.now()),
        iso=show.iso,
        clock=show.clock,
        title=show.title,
        words=words,
        plural=show.plural,
        state_label=show.state_label,
        state_hint=show.state_hint,
        method_label=lambda method: show.METHODS[method][0],
        image_line=show.image_line,
        brief=lambda node: hardware.brief(node.facts),
        bad=flight.bad,
    )
    app.jinja_env.globals.update(
        csrf_token=csrf.token,
        csrf_field=csrf.field,
        method_choices=[(method.value, label, hint) for method, (label, hint) in show.METHODS.items()],
    )
    folder = Path(app.static_folder or "")

    @cache
    def asset(name: str) -> str:
        digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()[:12]
        return url_for("static", filename=name, v=digest)

    app.jinja_env.globals["asset"] = asset
    app.context_processor(lambda: {"who": g.get("user"), "since": context.appliance().watch.last_event()})
