"""The headers every page carries, and the one content policy: nothing inline, nothing from elsewhere.

The policy is why templates hold no `style=` and no `<script>` text: one place to keep strict instead of
judging each page. Static files may be cached (their URL carries their content's hash); pages may not. No
Cross-Origin-Opener-Policy: browsers heed it over HTTPS alone, and complain on every page otherwise.
"""

from __future__ import annotations

from flask import Response, request

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)

HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


def unfold_redirect(response: Response) -> Response:
    """`after_request`: a script cannot see where a redirect leads without going there, so it is told."""
    if "X-Dialog" in request.headers and response.status_code in (302, 303) and response.location:
        response = Response(status=204, headers={"X-Dialog-Done": response.location})
    return response


def harden(response: Response) -> Response:
    """`after_request`: the headers above; no caching but for versioned static files."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if request.endpoint == "static" and "v" in request.args and response.status_code == 200:
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
    elif request.endpoint != "static":
        response.headers.setdefault("Cache-Control", "no-store")
    return response
