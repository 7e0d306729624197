"""What diskless machines load, by version: where it lies below the data directory, and whether it is ready.

Made by the process `roots`; read by who serves it. What could not be made leaves its reason behind, and is
tried again when something changed. Nothing here is looked up by a name from the network: only by a
version's id.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bootsrv.config import Config
from bootsrv.diskless import bootkey
from bootsrv.errors import BootsrvError
from bootsrv.model import Root, RootKind
from bootsrv.registry.registry import Registry
from images.errors import BadInput
from images.netroot import losses, prepare
from images.versions import Version

FOLDER = "netroot"
STATE = "state.json"  # of a directory that is being made, or could not be


class NotReady(BootsrvError):
    """A machine has to wait; the text says what for. `lasting`: waiting alone will not help."""

    def __init__(self, text: str, lasting: bool = False) -> None:
        super().__init__(text)
        self.lasting = lasting


@dataclass(frozen=True, slots=True)
class Ready:
    """What one version's machines load."""

    home: Path
    kernel: str

    @property
    def files(self) -> dict[str, Path]:
        """By the names of `handout`."""
        return {name: self.home / name for name in (prepare.KERNEL, prepare.INITRD)}


class Netroots:
    """Looks only. Not shared between threads. Raises OSError."""

    def __init__(self, config: Config, registry: Registry, store_key: Callable[[], bytes]) -> None:
        self._config, self._registry, self._store_key = config, registry, store_key
        self._inputs: tuple[float, str] | None = None

    def keys(self) -> prepare.Keys:
        """What boots are signed with and checked by."""
        secret = bootkey.private(self._registry)
        return prepare.Keys(self._store_key(), bootkey.public(self._registry), secret)

    def inputs(self) -> str:
        """What first RAM disks are made from now; looked at once a minute."""
        now = time.monotonic()
        if self._inputs is None or now - self._inputs[0] > 60.0:
            self._inputs = now, prepare.inputs(self._config.payload_dir / "imager", self.keys())
        return self._inputs[1]

    def home(self, version: Version) -> Path:
        """The directory of a version."""
        return home(self._config, version.id)

    def ready(self, version: Version, root: Root) -> Ready:
        """What machines with this root load. Raises NotReady."""
        place = self.home(version)
        try:
            made = prepare.ready(place, self.inputs())
        except BadInput as error:
            raise NotReady(str(error), lasting=True) from error
        if made is None or (root.kind is RootKind.RAM and not prepare.has_root(place)):
            raise self._waiting(version, place)
        lacking = prepare.lacking(made, root.kind, root.writes.stay)
        if lacking:
            what = f"the kernel {made['kernel']} of {version.ref} has no {', '.join(lacking)}"
            raise NotReady(f"{what}: a root by {root.kind} needs it", lasting=True)
        return Ready(place, str(made["kernel"]))

    def _waiting(self, version: Version, place: Path) -> NotReady:
        state = _state(place)
        if not state:
            return NotReady(f"{version.ref} is not prepared yet")
        if state.get("error"):
            return NotReady(f"{version.ref}: {state['error']}", lasting=True)
        return NotReady(f"{version.ref} is being prepared: {state.get('step')} {state.get('percent', 0)} %")


def home(config: Config, version_id: str) -> Path:
    """Of a version's id, which is hex."""
    return config.data_dir / FOLDER / version_id


@dataclass(frozen=True, slots=True)
class Told:
    """For people who look: `state` says what there is to wait for, "" once machines can boot it; `left_out`
    is what a root of this kind cannot carry; `bytes` of disk are those of a root in memory."""

    state: str = ""
    left_out: tuple[str, ...] = ()
    bytes: int | None = None


def told(config: Config, version: Version, kind: RootKind) -> Told:
    """What is so now; it may be of an imager before. Raises OSError."""
    place = home(config, version.id)
    made, state = prepare.made(place), _state(place)
    if state.get("error"):
        return Told(f"failed: {state['error']}")
    if state:
        return Told(f"{state.get('step')} {state.get('percent', 0)} % made")
    if made is None or (kind is RootKind.RAM and not prepare.has_root(place)):
        return Told("waits for its turn")
    lacking = prepare.lacking(made, kind, keeps=False)
    return Told(
        f"its kernel {made['kernel']} has no {', '.join(lacking)}" if lacking else "",
        tuple(map(losses.text, made.get("left_out", {}).get(kind, ()))),
        (place / prepare.SQUASHFS).stat().st_size if kind is RootKind.RAM else None,
    )


def _state(place: Path) -> dict[str, Any]:
    """Of what is being made, or could not be; empty otherwise."""
    try:
        found = json.loads((place / STATE).read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
