"""Cross-site request forgery: one token per session, asked for on everything that changes state.

The token lives in the signed session cookie and is repeated in every form (or in `X-CSRF-Token` by the
page's script). Requests that carry an API token instead of a cookie need none: a foreign page cannot send
that header. `Sec-Fetch-Site`, which browsers set and pages cannot, is checked first as a second,
independent bar.
"""

from __future__ import annotations

import hmac
import secrets

from flask import Request, session
from markupsafe import Markup

FIELD = "csrf_token"
HEADER = "X-CSRF-Token"
KEY = "csrf"


def token() -> str:
    """This session's token, made on first use."""
    found = session.get(KEY)
    if not isinstance(found, str):
        found = session[KEY] = secrets.token_urlsafe(32)
    return found


def field() -> Markup:
    """The hidden field that carries it in a form."""
    return Markup('<input type="hidden" name="{}" value="{}">').format(FIELD, token())


def renew() -> None:
    """A new token, for the moment somebody logs in or out."""
    session[KEY] = secrets.token_urlsafe(32)


def fits(request: Request) -> bool:
    """Whether a state-changing request comes from a page of ours."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        return False
    expected = session.get(KEY)
    given = request.headers.get(HEADER) or request.form.get(FIELD, "")
    return isinstance(expected, str) and hmac.compare_digest(expected.encode(), given.encode())
