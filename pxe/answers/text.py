"""The kinds of text a profile may hold, so that nothing a person types can leave its place in an answer file.

The law: what passes here has no line break of any kind. Installers split their files with Python's
`str.splitlines`, the shell's or C's idea of a line; every character one of them takes for a break is refused.
Quoting for the target is the renderer's work; a value that no quoting can carry is refused here.
"""

from __future__ import annotations

import re
from typing import Annotated

import msgspec

_BREAKS = r"\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff"
_LIST = _BREAKS + ","


def is_line(text: str) -> bool:
    """Whether a text that is no field of a profile, such as a secret, keeps to the same law."""
    return not re.search(f"[{_BREAKS}]", text)


Line = Annotated[str, msgspec.Meta(pattern=rf"\A[^{_BREAKS}]*\Z")]
Words = Annotated[str, msgspec.Meta(pattern=rf"\A[^{_BREAKS}]+\Z")]  # a Line that is not empty
Item = Annotated[str, msgspec.Meta(pattern=rf"\A[^-{_LIST}\s][^{_LIST}\s]*\Z")]  # in a comma-separated list
Hash = Annotated[str, msgspec.Meta(pattern=r"\A(\$[0-9a-zA-Z]+\$[!-9;-~]+|[!-9;-~]{13}|[!*]+)\Z")]
Host = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?\Z")]
Account = Annotated[str, msgspec.Meta(pattern=r"\A[a-z_][a-z0-9_-]{0,30}\$?\Z")]
Device = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9._:/+|*-]*\Z")]
Package = Annotated[str, msgspec.Meta(pattern=r"\A(?!\*\Z)[A-Za-z0-9_*?\[][A-Za-z0-9_.+:*?\[\]~/-]*\Z")]
Group = Annotated[str, msgspec.Meta(pattern=rf"\A[^-@^#\s{_BREAKS}][^#{_BREAKS}]*(?<![\s])\Z")]
Key = Annotated[str, msgspec.Meta(pattern=rf"\A[A-Za-z0-9][^{_BREAKS}]*\Z")]  # a line of authorized_keys
Layout = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z][A-Za-z0-9_ ()-]*\Z")]  # "us", "cz (qwerty)"
RawLine = Annotated[
    str, msgspec.Meta(pattern=r"\A[^\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]*\Z")
]
Script = Annotated[
    str, msgspec.Meta(pattern=r"\A[^\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]*\Z")
]  # lines, ended by line feeds
Count = Annotated[int, msgspec.Meta(ge=0)]
Port = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9-]+(:(tcp|udp))?\Z")]  # "22:tcp", "imap:tcp"


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """What every part of a profile keeps to: unknown keys are errors, values never change."""
