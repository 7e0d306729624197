"""Power by Redfish (DMTF DSP0266): the ComputerSystem resource and its Reset action.

The law: the password goes to nobody but the controller that was there when its address was set. Controllers
sign their own certificates, so the certificate itself is remembered (its SHA-256) and asked for again.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import ssl
from typing import Any

from bootsrv.errors import BootsrvError
from bootsrv.power.door import Door

_SECONDS = 30.0
_MOST = 1 << 20
_GRACEFUL = ("GracefulShutdown", "PushPowerButton")
_CYCLES = ("PowerCycle", "ForceRestart")


class Redfish:
    """A `Switch` behind a Redfish service. `seen`: SHA-256 (hex) of its certificate, "" without TLS."""

    def __init__(self, name: str, door: Door, password: str, seen: str) -> None:
        self._name, self._door, self._seen = name, door, seen
        secret = base64.b64encode(f"{door.user}:{password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {secret}", "Accept": "application/json"}
        self._path = door.system

    def is_on(self) -> bool | None:
        state = self._system().get("PowerState")
        return {"On": True, "Off": False, "PoweringOn": True, "PoweringOff": True}.get(str(state))

    def on(self) -> None:
        self._reset(("On", "ForceOn"))

    def off(self, hard: bool) -> None:
        self._reset(("ForceOff",) if hard else _GRACEFUL)

    def cycle(self) -> None:
        self._reset(_CYCLES if self.is_on() else ("On", "ForceOn"))

    def network_next(self) -> None:
        boot = {"Boot": {"BootSourceOverrideEnabled": "Once", "BootSourceOverrideTarget": "Pxe"}}
        self._ask("PATCH", self._place(), boot)

    def _reset(self, kinds: tuple[str, ...]) -> None:
        """The first of these kinds that the machine says it allows; the first, where it does not say."""
        action = (self._system().get("Actions") or {}).get("#ComputerSystem.Reset") or {}
        target = action.get("target")
        if not isinstance(target, str) or not target.startswith("/"):
            raise BootsrvError(f"{self._name}: {self._door} offers no reset of {self._place()}")
        allowed = action.get("ResetType@Redfish.AllowableValues") or kinds
        kind = next((kind for kind in kinds if kind in allowed), kinds[0])
        self._ask("POST", target, {"ResetType": kind})

    def _system(self) -> dict[str, Any]:
        return self._ask("GET", self._place())

    def _place(self) -> str:
        if self._path is None:
            members = self._ask("GET", "/redfish/v1/Systems").get("Members") or []
            found = [str(member.get("@odata.id")) for member in members]
            if len(found) != 1:
                text = f"{len(found)} machines behind it; add the path of one: {', '.join(found[:8])}"
                raise BootsrvError(f"{self._name}: {self._door}: {text}")
            self._path = found[0]
        return self._path

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        connection = connect(self._door)
        try:
            if certificate(connection) != self._seen:
                raise BootsrvError(
                    f"{self._name}: {self._door} shows another certificate than when it was set; if that is"
                    f" right, set it again: bootsrv power {self._name} via {self._door}"
                )
            data = json.dumps(body).encode() if body is not None else None
            headers = {**self._headers, **({"Content-Type": "application/json"} if data else {})}
            connection.request(method, path, data, headers)
            answer = connection.getresponse()
            text = answer.read(_MOST)
        except (OSError, http.client.HTTPException) as error:
            raise BootsrvError(f"{self._name}: {self._door}: {error}") from error
        finally:
            connection.close()
        return self._understood(answer.status, text, path)

    def _understood(self, status: int, text: bytes, path: str) -> dict[str, Any]:
        try:
            found = json.loads(text) if text.strip() else {}
        except ValueError:
            found = {}
        if status in (401, 403):
            raise BootsrvError(f"{self._name}: {self._door} refuses this user and password")
        if status >= 300:
            said = found.get("error", {}).get("message", "") if isinstance(found, dict) else ""
            raise BootsrvError(f"{self._name}: {self._door}{path}: status {status} {said}".rstrip())
        return found if isinstance(found, dict) else {}


def connect(door: Door) -> http.client.HTTPConnection:
    """Opened. Raises OSError."""
    if door.kind == "redfish+http":
        plain = http.client.HTTPConnection(door.host, door.port, timeout=_SECONDS)
        plain.connect()
        return plain
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # it is compared by `certificate`
    secure = http.client.HTTPSConnection(door.host, door.port, timeout=_SECONDS, context=context)
    secure.connect()
    return secure


def certificate(connection: http.client.HTTPConnection) -> str:
    """SHA-256 (hex) of what the other side showed; "" without TLS."""
    shown = connection.sock.getpeercert(True) if isinstance(connection.sock, ssl.SSLSocket) else None
    return hashlib.sha256(shown).hexdigest() if shown else ""
