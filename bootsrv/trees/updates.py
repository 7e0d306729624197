"""Updated packages beside a tree: a repository at /tree/NAME/updates/, made by the distribution's own tools.

Debian packages get apt's indexes (a flat repository, `deb URL ./`), RPMs get dnf's; both are signed with
our key. Packages are looked at by the tool that will read them, and one that it cannot read is refused by
name. The repository appears whole; what it had stays, unless it is to be replaced.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bootsrv.errors import BootsrvError, Invalid, NotFound
from bootsrv.mirrors import repository
from bootsrv.mirrors.pool import sha256_of
from bootsrv.signing import ArchiveKey
from bootsrv.trees.index import Index, Item
from bootsrv.trees.listed import FILES, INDEX
from bootsrv.trees.place import appearing, vanish
from bootsrv.trees.shelf import UPDATES, Shelf
from images.progress import Progress, silent
from pxe.trees.facts import Installer

_MAGIC = {b"!<arch>\n": ".deb", b"\xed\xab\xee\xdb": ".rpm"}
_KINDS = {
    Installer.PRESEED: ".deb", Installer.AUTOINSTALL: ".deb",
    Installer.KICKSTART: ".rpm", Installer.AUTOYAST: ".rpm",
}  # fmt: skip
_ENTRY = re.compile(rb"^Package: ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Updates:
    """What the repository holds: names of files. `bytes` of all of it."""

    debs: tuple[str, ...]
    rpms: tuple[str, ...]
    bytes: int


def add(
    shelf: Shelf, name: str, given: Sequence[Path], key: ArchiveKey, replace: bool = False,
    progress: Progress = silent,
) -> Updates:  # fmt: skip
    """Put packages (files, or directories of them) beside a tree. Raises NotFound, Invalid, BootsrvError."""
    installer = shelf.get(name).facts.installer
    home = shelf.root / name
    packages = list(_packages(given))
    if not packages:
        raise Invalid("there is no .deb and no .rpm in what was given")
    wanted = _KINDS.get(installer)
    if other := next((path for path in packages if wanted and path.suffix != wanted), None):
        raise Invalid(f"{other.name} is for another system: {name} takes {wanted} packages")
    with appearing(home, UPDATES) as new:
        files = new / FILES
        files.mkdir()
        if not replace:
            _take_over(home / UPDATES / FILES, files)
        for number, path in enumerate(packages):
            progress(number, len(packages), path.name)
            shutil.copyfile(path, files / path.name)
        progress(0, None, "making indexes")
        debs, rpms = (tuple(sorted(p.name for p in files.glob(f"*{end}"))) for end in (".deb", ".rpm"))
        if debs:
            _apt(files, debs, key)
        if rpms:
            _dnf(files, rpms, key)
        (files / repository.KEY).write_bytes(key.public())
        (files / repository.KEY_ASCII).write_bytes(key.public(ascii_=True))
        index = Index()
        for path in sorted(p for p in files.rglob("*") if p.is_file()):
            index.files[str(path.relative_to(files))] = Item(path.stat().st_size, sha256_of(path))
        index.save(new / INDEX)
    return Updates(debs, rpms, index.bytes)


def clear(shelf: Shelf, name: str) -> None:
    """Take the repository away. Raises NotFound."""
    shelf.get(name)
    if not (shelf.root / name / UPDATES).exists():
        raise NotFound(f"tree {name} has no updated packages")
    vanish(shelf.root / name, UPDATES)


def found(shelf: Shelf, name: str) -> Updates | None:
    """What is there; None: nothing. Raises NotFound, BootsrvError."""
    index = shelf.list(name, updates=True)
    if not index.files:
        return None
    debs, rpms = (tuple(sorted(n for n in index.files if n.endswith(end))) for end in (".deb", ".rpm"))
    return Updates(debs, rpms, index.bytes)


def _packages(given: Iterable[Path]) -> Iterable[Path]:
    for path in given:
        if path.is_dir():
            yield from sorted(p for p in path.rglob("*") if p.is_file() and p.suffix in (".deb", ".rpm"))
            continue
        try:
            with path.open("rb") as file:
                start = file.read(8)
        except FileNotFoundError as error:
            raise NotFound(f"{path}: no such file") from error
        if not any(start.startswith(magic) and path.suffix == end for magic, end in _MAGIC.items()):
            raise Invalid(f"{path} is neither a Debian package (.deb) nor an RPM (.rpm)")
        yield path


def _take_over(old: Path, new: Path) -> None:
    for path in [*old.glob("*.deb"), *old.glob("*.rpm")]:
        os.link(path, new / path.name)


def _apt(folder: Path, debs: Sequence[str], key: ArchiveKey) -> None:
    for name in debs:
        _ask(["dpkg-deb", "--field", name, "Package", "Version"], folder, f"{name} is damaged")
    text = repository.ftparchive(["packages", "."], folder)
    if len(_ENTRY.findall(text)) != len(debs):
        raise BootsrvError("apt-ftparchive did not take every package; two files may be the same version")
    repository.write_packages(folder, text)
    repository.release(folder, {"Origin": "bootsrv", "Label": "updates"}, key)


def _dnf(folder: Path, rpms: Sequence[str], key: ArchiveKey) -> None:
    if shutil.which("createrepo_c") is None:
        raise Invalid("createrepo_c is missing on this machine; install the package createrepo-c")
    # sha256 and gzip: what dnf and yum of every age can read.
    command = ["createrepo_c", "--quiet", "--checksum=sha256", "--general-compress-type=gz", "."]
    code, said = _run(command, folder)
    unread = [name for name in rpms if name in said]  # from 1.1 on it ends with a failure then
    if unread:
        raise Invalid(f"{', '.join(unread[:3])} is damaged: createrepo_c cannot read it")
    if code:
        raise Invalid(f"createrepo_c failed: {_last(said)}")
    made = folder / "repodata/repomd.xml"
    made.with_suffix(".xml.asc").write_bytes(key.detached(made.read_bytes()))


def _ask(command: Sequence[str], folder: Path, complaint: str) -> None:
    """Raises Invalid with the tool's last line when it fails."""
    code, said = _run(command, folder)
    if code:
        raise Invalid(f"{complaint}: {_last(said)}")


def _run(command: Sequence[str], folder: Path) -> tuple[int, str]:
    """Exit code, and what a tool says on both of its channels."""
    done = subprocess.run(
        command, cwd=folder, capture_output=True, check=False, env={**os.environ, "LC_ALL": "C.UTF-8"}
    )
    return done.returncode, (done.stderr + done.stdout).decode("utf-8", "replace").strip()


def _last(said: str) -> str:
    return (said.splitlines() or ["no reason given"])[-1]
