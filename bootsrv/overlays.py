"""Files that are laid over a diskless node's root: templates of the administrator's, below the data
directory.

    DATA_DIR/overlays/all/etc/motd              for every diskless node
    DATA_DIR/overlays/groups/rack3/etc/motd.j2  for the nodes of a group, instead of it
    DATA_DIR/overlays/nodes/n1/...              for one node

A name that ends in `.j2` is a template over what is known of the node; a word that is not known is an
error, never an empty text. Modes are the files' own. The law: directories are walked, never joined from a
request; links are not followed; what we may not read is an error, not absent.
"""

from __future__ import annotations

import base64
import os
import pwd
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import jinja2.sandbox

from bootsrv.config import Config
from bootsrv.errors import BootsrvError
from bootsrv.model import Node
from images.versions import Version

FOLDER, SUFFIX = "overlays", ".j2"
MOST_BYTES, MOST_FILES = 8 << 20, 2000  # of one node
_ENGINE = jinja2.sandbox.ImmutableSandboxedEnvironment(
    undefined=jinja2.StrictUndefined, autoescape=False, keep_trailing_newline=True
)


class OverlayError(BootsrvError):
    """A file of the administrator's that cannot be laid; the text names it, and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class File:
    """One file as it will lie in the node; `path` is absolute there."""

    path: str
    mode: int
    data: bytes

    @property
    def base64(self) -> str:
        return base64.b64encode(self.data).decode()


def files(config: Config, node: Node, known: Mapping[str, Any]) -> list[File]:
    """The node's own files, by path. Raises OverlayError naming the template and the word, or what cannot be
    read and by whom."""
    home = config.data_dir / FOLDER
    try:
        sources = _sources(home, node)
        made = [_rendered(name, path, known) for name, path in sorted(sources.items())]
    except PermissionError as error:
        raise OverlayError(f"{error.filename} is not readable for the service: {_remedy(error)}") from error
    except OSError as error:
        raise OverlayError(f"{error.filename or home}: {error.strerror}") from error
    if sum(len(file.data) for file in made) > MOST_BYTES:
        raise OverlayError(f"{home}: more than {MOST_BYTES >> 20} MiB for one node: put them into the image")
    return made


def variables(node: Node, identity: Mapping[str, Any], version: Version) -> dict[str, Any]:
    """What a template may name."""
    names = ("name", "domain", "mac", "gateway", "dns", "search", "hosts")
    return {
        **{name: identity[name] for name in names},
        "address": str(node.address) if node.address is not None else "",
        "groups": list(node.groups),
        "options": dict(node.options),
        "image": version.ref,
        "id": node.id,
    }


def _sources(home: Path, node: Node) -> dict[str, Path]:
    """Path in the node: file here."""
    sources: dict[str, Path] = {}
    for folder in ("all", *(f"groups/{group}" for group in node.groups), f"nodes/{node.name}"):
        for path in _walk(home / folder):
            name = "/" + str(path.relative_to(home / folder))
            sources[name.removesuffix(SUFFIX)] = path
    if len(sources) > MOST_FILES:
        raise OverlayError(f"{home}: {len(sources)} files for one node; at most {MOST_FILES}")
    return sources


def _remedy(error: PermissionError) -> str:
    """Its mode is the node's, so it is the owner that has to change."""
    try:
        user = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        user = str(os.geteuid())
    return f"chown {user} {error.filename}"


def _rendered(name: str, path: Path, known: Mapping[str, Any]) -> File:
    data, mode = path.read_bytes(), stat.S_IMODE(path.stat().st_mode)
    if path.name.endswith(SUFFIX):
        try:
            data = _ENGINE.from_string(data.decode("utf-8")).render(known).encode()
        except (jinja2.TemplateError, UnicodeDecodeError, TypeError, ValueError, ArithmeticError) as error:
            raise OverlayError(f"{path}: {getattr(error, 'message', None) or error}") from error
    return File(name, mode, data)


def _walk(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder, onerror=_unread):
        folders.sort()
        for name in sorted(names):
            path = Path(place, name)
            if stat.S_ISREG(path.lstat().st_mode):
                yield path


def _unread(error: OSError) -> None:
    """A directory that is not there has nothing in it; any other may have."""
    if not isinstance(error, FileNotFoundError):
        raise error
