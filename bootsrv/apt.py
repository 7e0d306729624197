"""apt's own client in a private room: fetches from the host's mirrors, verified by Debian's keys, and
leaves the host's package lists and its installed packages alone.

Everything is in one temporary directory. Nothing is installed; packages are only fetched, and apt compares
each with the hash of a signed index.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from bootsrv.aptcall import AptFailed, call, furnish
from bootsrv.errors import BootsrvError, Invalid
from images.mirror import KEYRING
from images.workplace import workplace

_CONF = """\
Dir "{room}";
Dir::Etc::Main "/dev/null";
Dir::Etc::Parts "/dev/null";
Dir::Etc::SourceList "{room}/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
Dir::State "{room}/state";
Dir::State::Status "{room}/status";
Dir::Cache "{room}/cache";
APT::Architecture "{arch}";
APT::Architectures {{ "{arch}"; }};
"""
_PARTS = ("state/lists/partial", "cache/archives/partial", "debs")
_URI = re.compile(r"'[^']+' (?P<file>\S+) (?P<size>\d+) SHA256:(?P<sha256>[0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Wish:
    """One package that would be fetched. `size` in bytes."""

    name: str
    size: int
    sha256: str


class AptRoom:
    """`with AptRoom(lines) as apt`. `lines` are those of a sources.list; keys are Debian's unless they say
    otherwise. Raises BootsrvError with apt's own complaint."""

    def __init__(self, lines: Iterable[str], arch: str = "amd64") -> None:
        self._lines, self._arch = list(lines), arch

    def __enter__(self) -> AptRoom:
        if shutil.which("apt-get") is None:
            raise Invalid("apt-get is missing on this machine: only a Debian can fetch Debian's packages")
        if not KEYRING.exists():
            raise Invalid(f"{KEYRING} is missing: apt-get install debian-archive-keyring")
        with ExitStack() as stack:
            self.path = stack.enter_context(workplace("apt", Path(tempfile.gettempdir())))
            conf = _CONF.format(room=self.path, arch=self._arch) + _host_proxy()
            furnish(self.path, _PARTS, conf, "".join(f"{_signed(line)}\n" for line in self._lines))
            (self.path / "status").touch()
            self._work = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._work.close()

    @property
    def debs(self) -> Path:
        """Where `download` puts packages."""
        return self.path / "debs"

    def update(self) -> None:
        """Fetch the indexes and check their signatures."""
        self.run(["apt-get", "-qq", "--error-on=any", "update"])

    def closure(self, packages: Sequence[str], recommends: bool = True) -> list[Wish]:
        """What would be fetched to install these on a machine that has nothing, in one go."""
        options = [f"-oAPT::Install-Recommends={str(recommends).lower()}", "-oAcquire::ForceHash=SHA256"]
        said = self.run(["apt-get", "-qq", "-y", "--print-uris", *options, "install", "--", *packages])
        wishes = [_wish(found) for line in said.splitlines() if (found := _URI.match(line))]
        if not wishes:
            raise BootsrvError(f"apt named no package to fetch for {', '.join(packages[:3])}")
        return wishes

    def download(self, packages: Sequence[str]) -> Path:
        """Fetch packages (NAME or NAME=VERSION) into a directory of the room, which is returned."""
        self.run(["apt-get", "-qq", "download", "--", *packages], cwd=self.debs)
        return self.debs

    def run(self, command: Sequence[str], cwd: Path | None = None) -> str:
        """One of apt's commands; its output. Raises BootsrvError with the first line it complained with."""
        try:
            return call(command, self.path, cwd or self.path)
        except AptFailed as error:
            raise BootsrvError(str(error)) from error


def _signed(line: str) -> str:
    """Debian's keys vouch for a line that names none."""
    kind, _, rest = line.partition(" ")
    return line if rest.lstrip().startswith("[") else f"{kind} [signed-by={KEYRING}] {rest}"


def _host_proxy() -> str:
    """The proxy that the host's own apt uses."""
    said = subprocess.run(
        ["apt-config", "dump", "--format", "%f %v%n"], capture_output=True, text=True, check=False
    ).stdout
    lines = (line.partition(" ") for line in said.splitlines())
    return "".join(
        f'{name} "{value}";\n'
        for name, _, value in lines
        if name.lower().endswith("::proxy") and '"' not in value
    )


def _wish(found: re.Match[str]) -> Wish:
    return Wish(found["file"].partition("_")[0], int(found["size"]), found["sha256"])
