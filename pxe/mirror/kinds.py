"""What a name in a package archive stands for: a package, which never changes under its name, or an index.
Pure.

*.deb *.udeb *.rpm *.tar.xz ...           packages: fetched once, kept until room is needed
dists/.../by-hash/SHA256/HASH             the same, and the name says what its bytes hash to
repodata/HASH-primary.xml.gz              the same
everything else                           an index: asked after again, and served old only when nobody answers
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote

_LONGEST = 1024
_PACKAGE = re.compile(
    r"\.(?:u?deb|ddeb|d?rpm|dsc|whl|(?:tar|diff|debdiff)\.(?:gz|xz|bz2|zst)|apk|pkg\.tar\.(?:xz|zst))\Z"
)
_BY_HASH = re.compile(r"/by-hash/SHA256/([0-9a-f]{64})\Z")
_OTHER_HASH = re.compile(r"/by-hash/(?:MD5Sum|SHA1|SHA512)/[0-9a-f]{32,128}\Z")
_REPODATA = re.compile(r"(?:\A|/)repodata/([0-9a-f]{64})-[^/]+\Z")


@dataclass(frozen=True, slots=True)
class Named:
    """`immutable`: the same bytes for ever. `sha256`: what they hash to, where the name tells; else ""."""

    immutable: bool
    sha256: str = ""


def named(path: str) -> Named:
    """What a (clean) path stands for."""
    found = _BY_HASH.search(path) or _REPODATA.search(path)
    if found:
        return Named(True, found[1])
    return Named(bool(_PACKAGE.search(path) or _OTHER_HASH.search(path)))


def clean(raw: str) -> str | None:
    """A path below an archive as a request has it (still quoted), as ours; None: no such thing can be
    asked."""
    path = unquote(raw.partition("?")[0], errors="replace").strip("/")
    parts = path.split("/")
    if not path or len(path) > _LONGEST or any(part in ("", ".", "..") for part in parts):
        return None
    if any(ord(letter) < 32 or letter in "\x7f\\\ufffd" for letter in path):
        return None
    return path


def url(base: str, path: str) -> str:
    """The address of a path in an archive. `~` and `+` are in many packages' names and stay as they are."""
    return f"{base.rstrip('/')}/{quote(path, safe='/~+:=,@!$()*;&' + chr(39))}"
