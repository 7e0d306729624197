"""What a user can get wrong, and what it means at each edge.

The tree of this room: every error a person can cause carries one clear line, an exit code for the shell
and a status for HTTP. Environment failures (OSError and friends) are not wrapped: they are logged with their
traceback where they surface. Errors of the rooms below are translated once, in `bootsrv.appliance`.
"""

from __future__ import annotations


class BootsrvError(Exception):
    """Root of what this room raises on purpose. The text is one line that says what to do."""

    http_status = 500
    exit_code = 1


class Invalid(BootsrvError):
    """The request makes no sense as given (bad value, bad combination)."""

    http_status = 400


class Needed(Invalid):
    """Something is missing that whoever asks can give. `field`: what requests call it; how it is given is for
    each edge to say (--image, "image", a field of a form)."""

    def __init__(self, text: str, field: str) -> None:
        super().__init__(text)
        self.field = field


class NotFound(BootsrvError):
    """What the request names does not exist."""

    http_status = 404


class Conflict(BootsrvError):
    """The request clashes with what exists (duplicate name, address in use, image pinned)."""

    http_status = 409


class ConfigError(BootsrvError):
    """The configuration file cannot be used; the text names file, key and reason."""

    exit_code = 2
