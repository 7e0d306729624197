"""What the agent service knows of its machine: where the server is and whom to believe there, and what was
taken and told so far, which outlives it in /var/lib/bootsrv/agent.

Python 3.8, standard library only.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, NamedTuple, Optional

from images.agent import home
from images.agent.rootfs import Root
from images.agent.update.state import write_whole
from images.errors import BadInput

STATE = "var/lib/bootsrv/agent"
NOT_SECURE = (
    "orders come by HTTPS alone, and this machine knows the server by HTTP: set [http] tls_port on the "
    "server, and push to it once over SSH (`bootsrv push --via ssh`), or image it anew"
)


class Server(NamedTuple):
    """`url` https://HOST:PORT, `certificate` what it has to show (PEM), `key` what it signs orders with."""

    url: str
    token: str
    certificate: str
    key: bytes
    pin: str


def server(root: Path) -> Server:
    """Raises BadInput with what to do about it."""
    inside = Root(root)
    try:
        conf, certificate = home.read(inside), inside.read_text(home.CERTIFICATE)
        key = inside.read_text(home.KEY).strip()
    finally:
        inside.close()
    url, token = conf.get("url", ""), conf.get("token", "")
    if not url.startswith("https://") or not certificate or not key:
        raise BadInput(NOT_SECURE)
    try:
        raw = bytes.fromhex(key)
    except ValueError as error:
        raise BadInput(f"{home.KEY} is damaged: a push over SSH writes it anew") from error
    return Server("/".join(url.split("/", 3)[:3]), token, certificate, raw, conf.get("pin", ""))


class Memory:
    """`last` is the number of the last order that was taken, `report` one that the server has not heard."""

    def __init__(self, root: Path) -> None:
        self._home = root / STATE
        self._taken, self._report = self._home / "taken", self._home / "report"

    @property
    def last(self) -> int:
        """0 before the first. Raises BadInput when it cannot be told: then none is taken."""
        try:
            return int(self._taken.read_text())
        except FileNotFoundError:
            return 0
        except ValueError as error:
            raise BadInput(
                f"{self._taken} is damaged, so old orders cannot be told from new ones: write the number 0 "
                "into it, and push again"
            ) from error

    def take(self, number: int) -> None:
        """On disk when this returns: that order is never taken again."""
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(self._taken, str(number).encode())

    def keep(self, report: Dict[str, Any]) -> None:
        """A report to be told, by this process or the next."""
        write_whole(self._report, json.dumps(report).encode())

    def kept(self) -> Optional[Dict[str, Any]]:
        """A report that was not told yet."""
        try:
            found = json.loads(self._report.read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def told(self) -> None:
        """The server has heard it, or never will."""
        self._report.unlink(missing_ok=True)
