"""What the web process asks of the store: both ends of `POST /images/v1/tag|untag|remove` on intake.sock.

The law: the store's files are the administrator's, and of the processes that serve the intake alone may write
there. The others, which have a user of their own, ask it over its socket, where only they can connect. What
the files process forwards is a stranger's, and refused here whatever its path is; what is asked for is
checked as it is for a shell.
"""

from __future__ import annotations

import http.client
import logging
import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from bootsrv.calls import Refused, json_reply, object_of
from bootsrv.errors import BootsrvError, Conflict, Invalid, NotFound
from pxe.http.ports import Reply

if TYPE_CHECKING:
    from bootsrv.appliance.images import Images

log = logging.getLogger(__name__)
SOCKET = "intake.sock"
PREFIX = "/images/v1/"
SECONDS = 120.0  # of an answer: the store may be locked while another version is published
MAX_ANSWER = 64 << 10
_KINDS: Mapping[int, type[BootsrvError]] = {400: Invalid, 404: NotFound, 409: Conflict}


class StoreDesk:
    """Answers such calls. Belongs to the thread that its Images belongs to."""

    def __init__(self, images: Images) -> None:
        self._calls: Mapping[str, Callable[[Mapping[str, str]], object]] = {
            "tag": lambda asked: images.tag(_word(asked, "ref"), _word(asked, "tag")),
            "untag": lambda asked: images.untag(_word(asked, "ref"), _word(asked, "tag")),
            "remove": lambda asked: images.remove(_word(asked, "ref")),
        }

    def handle(self, verb: str, asked: Mapping[str, str]) -> Reply:
        """Does it; what is wrong as one line of JSON."""
        call = self._calls.get(verb)
        if call is None:
            return json_reply({"error": "no such call"}, 404)
        try:
            call(asked)
        except BootsrvError as error:
            return json_reply({"error": str(error)}, error.http_status)
        except OSError as error:
            log.exception("%s %s failed", verb, asked)
            return json_reply({"error": f"the store cannot be written: {error.strerror or error}"}, 507)
        return json_reply({})


def forwarded(headers: Mapping[str, str]) -> bool:
    """Whether a call came from outside: who forwards always says for whom, and drops what a client claims."""
    return "x-forwarded-for" in headers


def _word(asked: Mapping[str, str], key: str) -> str:
    if not asked.get(key):
        raise Invalid(f"{key} is missing")
    return asked[key]


def ours(folder: Path) -> bool:
    """Whether that is this process's to write; what a disk refuses then is the disk's to say."""
    return os.geteuid() in (0, folder.stat().st_uid)


def ask(run_dir: Path, verb: str, **words: str) -> None:
    """Have it done by who may. Raises what doing it here would raise; BootsrvError when nobody answers, and
    PermissionError when this process may not ask."""
    connection = _Connection(run_dir / SOCKET)
    try:
        connection.request("POST", f"{PREFIX}{verb}?{urlencode(words)}", b"")
        answer = connection.getresponse()
        status, body = answer.status, answer.read(MAX_ANSWER)
    except PermissionError as error:
        raise PermissionError(error.errno, error.strerror, str(run_dir / SOCKET)) from error
    except (OSError, http.client.HTTPException) as error:
        raise BootsrvError(
            f"the process that keeps the store does not answer ({getattr(error, 'strerror', None) or error}):"
            " start the service, or run it as root (sudo)"
        ) from error
    finally:
        connection.close()
    if status != 200:
        try:
            said = str(object_of(body, MAX_ANSWER).get("error"))
        except Refused as error:
            raise BootsrvError(f"the process that keeps the store answered {status}") from error
        raise _KINDS.get(status, BootsrvError)(said)


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("store", timeout=SECONDS)
        self._path = path

    def connect(self) -> None:
        """To the Unix socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))
