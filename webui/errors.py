"""Where errors of the verbs become answers: a page for people, JSON for programs. Once, here.

What a person got wrong carries its own status and one clear line. Anything else is a bug or the
environment: logged with its traceback, answered with 500 and where to look; its text is not shown, it may
hold more than people should see.
"""

from __future__ import annotations

import logging

from flask import Flask, g, jsonify, render_template, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from bootsrv.errors import BootsrvError, Needed

log = logging.getLogger(__name__)

HEADINGS = {
    400: "That does not work",
    401: "Log in first",
    403: "Not allowed",
    404: "Not found",
    405: "Not allowed here",
    409: "That clashes with what is there",
    413: "Too much at once",
    503: "Too busy",
}
REASONS = {
    404: "There is no such page or machine; it may have been removed.",
    405: "This address does not take that kind of request.",
    413: "The request is larger than anything this page sends.",
}


def install(app: Flask) -> None:
    app.register_error_handler(BootsrvError, _known)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(OSError, _failed)
    app.register_error_handler(Exception, _failed)


def _known(error: BootsrvError) -> ResponseReturnValue:
    if error.http_status >= 500:
        log.error("%s %s: %s", request.method, request.path, error)
    text = str(error)
    if isinstance(error, Needed) and request.path.startswith("/api/"):
        text = f'{text}: give "{error.field}"'
    return _answer(error.http_status, text)


def _http(error: HTTPException) -> ResponseReturnValue:
    if error.response is not None or error.code is None or error.code < 400:
        return error.get_response()
    own = type(error).description
    reason = error.description if error.description and error.description != own else REASONS.get(error.code)
    return _answer(error.code, reason or error.name)


def _failed(error: Exception) -> ResponseReturnValue:
    log.exception("%s %s", request.method, request.path)
    if isinstance(error, OSError) and error.strerror:
        return _answer(500, f"The server could not do this: {error.strerror}. Its log tells more.")
    return _answer(500, "The server could not do this. Its log tells why.")


def _answer(status: int, reason: str) -> ResponseReturnValue:
    if request.path.startswith(("/api/", "/events/stream")) or g.get("user") is None:
        headers = {"WWW-Authenticate": 'Bearer realm="bootsrv"'} if status == 401 else {}
        return jsonify(error={"status": status, "reason": reason}), status, headers
    heading = HEADINGS.get(status, "Something went wrong")
    return render_template("error.html", heading=heading, reason=reason), status
