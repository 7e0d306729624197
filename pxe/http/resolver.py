"""Which of our things a request means. Pure: text in, a route out; the route table is this page.

    /boot/MAC/script.ipxe   what this machine should do now, as an iPXE script
    /boot/MAC/grub.cfg      the same, for a GRUB
    /boot/NAME              kernel, initial RAM disk, loaders
    /public/NAME            DATA_DIR/public, as it is
    /tree/TREE/NAME         a file of an install tree
    /mirror/NAME/PATH       a file of a package archive
    /install/TOKEN/NAME     answer files of one armed boot, and what its installer tells
    /store/KIND/ID          manifests, locators and packs of images, patches between them, roots
    /node/v1/...            the node API
    /agent                  the agent for running machines, one file
    /capture/v1/...         uploads of captured machines, for the process that takes them in
    everything else         is forwarded to the web process

The law: any text gives a route, never an exception. NAME is only a key for a look-up; nothing here is a path.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote

from pxe import grub, ipxe

_MAC = re.compile(r"[0-9a-f]{2}(?:([:-]?)[0-9a-f]{2})(?:\1[0-9a-f]{2}){4}", re.IGNORECASE)
_ID = re.compile(r"[0-9a-zA-Z_-][0-9a-zA-Z._-]{0,199}")
_STORE = frozenset({"manifests", "locators", "packs", "patches", "roots"})
_OURS = frozenset({"boot", "public", "tree", "mirror", "store", "node", "install"})
_SCRIPTS = (ipxe.FILE, grub.FILE)
_READ = ("GET", "HEAD")
_AUTHORITY = re.compile(r"(?:[0-9a-zA-Z.-]{1,253}|\[[0-9a-fA-F:.]{2,45}\])(?::[0-9]{1,5})?")

# EDK2, iPXE, PXELINUX, GRUB: as each was seen to name itself.
BOOT_PROGRAMS = ("UefiHttpBoot/", "iPXE/", "Syslinux/", "GRUB ")

_TYPES = {
    "ipxe": "text/plain; charset=utf-8",
    "cfg": "text/plain; charset=utf-8",
    "ks": "text/plain; charset=utf-8",
    "txt": "text/plain; charset=utf-8",
    "log": "text/plain; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "json": "application/json",
    "xml": "application/xml",
    "png": "image/png",
    "gz": "application/gzip",
    "iso": "application/x-iso9660-image",
    "efi": "application/efi",  # UEFI HTTP Boot takes a file for a program by this type (UEFI 2.10, 24.7.3)
}


@dataclass(frozen=True, slots=True)
class Script:
    """/boot/MAC/script.ipxe, /boot/MAC/grub.cfg"""

    mac: str  # lower case, colons
    query: Mapping[str, str]
    file: str = ipxe.FILE


@dataclass(frozen=True, slots=True)
class BootFile:
    """/boot/NAME"""

    name: str


@dataclass(frozen=True, slots=True)
class Public:
    """/public/NAME"""

    name: str


@dataclass(frozen=True, slots=True)
class TreeFile:
    """/tree/TREE/NAME"""

    tree: str
    name: str


@dataclass(frozen=True, slots=True)
class Mirrored:
    """/mirror/NAME/PATH; `path` is still quoted."""

    name: str
    path: str


@dataclass(frozen=True, slots=True)
class InstallCall:
    """/install/TOKEN/NAME"""

    token: str
    name: str
    query: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Stored:
    """/store/KIND/ID"""

    kind: str
    id: str


@dataclass(frozen=True, slots=True)
class NodeCall:
    """/node/v1/PATH"""

    path: str
    query: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Agent:
    """/agent"""


@dataclass(frozen=True, slots=True)
class Upload:
    """/capture/v1/PATH: the intake process answers."""


@dataclass(frozen=True, slots=True)
class Forward:
    """Not ours: the web process answers."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A request under our paths that cannot be answered; `text` is one line."""

    status: int
    text: str
    allow: str = ""


Route = (
    Script | BootFile | Public | TreeFile | Mirrored | InstallCall | Stored | NodeCall | Agent | Upload
    | Forward | Refused
)


def route(method: str, target: str) -> Route:
    """The route of a request; `target` is the request target as it came, query and all."""
    path, _, query = target.partition("?")
    head, _, rest = path.lstrip("/").partition("/")
    if head == "capture" and rest.startswith("v1/"):
        return Upload()
    if head not in _OURS and (head != "agent" or rest):
        return Forward()
    name = unquote(rest, errors="replace")
    if head == "node":
        return _node(method, name, query)
    if head == "install":
        token, _, file = name.partition("/")
        if method not in (*_READ, "POST"):
            return Refused(405, f"{method} is not possible here", "GET, HEAD, POST")
        return InstallCall(token, file, query_of(query))
    if method not in _READ:
        return Refused(405, f"{method} is not possible here", "GET, HEAD")
    if head == "agent":
        return Agent()
    if head == "store":
        return _store(name)
    if head == "public":
        return Public(name)
    if head == "mirror":
        return Mirrored(*rest.lstrip("/").partition("/")[::2])
    if head == "tree":
        tree, _, file = name.lstrip("/").partition("/")
        return TreeFile(tree, file)
    mac, _, file = name.partition("/")
    if file in _SCRIPTS:
        if (known := mac_of(mac)) is None:
            return Refused(400, f"{mac[:40]!r} is not a MAC address")
        return Script(known, query_of(query), file)
    return BootFile(name)


def _node(method: str, name: str, query: str) -> Route:
    version, _, path = name.partition("/")
    if version != "v1" or not path:
        return Refused(404, "the node API is at /node/v1/")
    if method not in ("GET", "POST"):
        return Refused(405, f"{method} is not possible here", "GET, POST")
    return NodeCall(path, query_of(query))


def _store(name: str) -> Route:
    kind, _, ident = name.partition("/")
    if kind not in _STORE or not _ID.fullmatch(ident):
        return Refused(404, "no such thing in the store")
    return Stored(kind, ident)


def mac_of(text: str) -> str | None:
    """52-54-00-12-34-56, with colons or without either, in lower case and with colons; None: not a MAC."""
    if not _MAC.fullmatch(text):
        return None
    digits = text.replace("-", "").replace(":", "").lower()
    return ":".join(digits[i : i + 2] for i in range(0, 12, 2))


def query_of(query: str) -> dict[str, str]:
    """Query parameters; of a repeated one the first counts. More than 64 are not looked at."""
    found: dict[str, str] = {}
    for part in query.split("&")[:64]:
        for name, value in parse_qsl(part, keep_blank_values=True, errors="replace"):
            found.setdefault(name, value)
    return found


def authority_of(host: str | None) -> str | None:
    """HOST or HOST:PORT of a Host header when it is plain enough to be put into a script, else None."""
    return host if host and _AUTHORITY.fullmatch(host) else None


def type_of(name: str) -> str:
    """The media type for a name's suffix."""
    return _TYPES.get(name.rpartition(".")[2].lower(), "application/octet-stream")


def is_boot_program(user_agent: str | None) -> bool:
    """Whether firmware or a boot loader asks, by the name it gives itself: a step of a boot."""
    return (user_agent or "").startswith(BOOT_PROGRAMS)


def bearer(header: str | None) -> str | None:
    """The token of an Authorization header, or None."""
    scheme, _, token = (header or "").partition(" ")
    return (token.strip() or None) if scheme.lower() == "bearer" else None
