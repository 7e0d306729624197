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


_KINDS: dict[str, str] = {}  # by pattern, as msgspec writes it


def kind(pattern: str, words: str) -> msgspec.Meta:
    """A kind of text, and what to say of one that is not of it."""
    _KINDS[repr(pattern)] = words
    return msgspec.Meta(pattern=pattern)


def explained(reason: str) -> str:
    """msgspec's reason, in words for whoever typed the value."""
    words = _KINDS.get(reason.partition(" matching regex ")[2])
    if words is not None:
        return f"must be {words}"
    return reason.replace("`", "").replace("Expected", "must be", 1).replace("got", "not")


_PLAIN = r"\A[^\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]*\Z"
_SCRIPT = r"\A[^\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]*\Z"
_HASH = r"\A(\$[0-9a-zA-Z]+\$[!-9;-~]+|[./0-9A-Za-z]{13}|[!*]+)\Z"  # 13 characters: the oldest, DES
_PACKAGE = r"\A(?!\*\Z)[A-Za-z0-9_*?\[][A-Za-z0-9_.+:*?\[\]~/-]*\Z"

Line = Annotated[str, kind(rf"\A[^{_BREAKS}]*\Z", "one line of text")]
Words = Annotated[str, kind(rf"\A[^{_BREAKS}]+\Z", "one line of text, not empty")]
Item = Annotated[  # in a comma-separated list
    str, kind(rf"\A[^-{_LIST}\s][^{_LIST}\s]*\Z", "one word without blanks or commas, no - in front")
]
Hash = Annotated[str, kind(_HASH, "a password's hash, as `bootsrv answers hash` makes it")]
LoaderHash = Annotated[
    str,
    kind(
        r"\A(\$[0-9a-zA-Z]+\$[!-9;-~]+|grub\.pbkdf2\.sha512\.[0-9]+\.[0-9A-Fa-f]+\.[0-9A-Fa-f]+)\Z",
        "a hash, $1$... for GRUB before 2, else as grub-mkpasswd-pbkdf2 makes it",
    ),
]
Secret = Annotated[
    str,
    kind(
        r"\Asecret:[A-Za-z0-9][A-Za-z0-9_.-]*\Z",
        "secret:NAME, as `bootsrv answers secret set NAME` keeps it, never the passphrase itself",
    ),
]
Host = Annotated[
    str,
    kind(r"\A[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?\Z", "a host name: letters, digits, - and dots"),
]
Account = Annotated[
    str,
    kind(r"\A[a-z_][a-z0-9_-]{0,30}\$?\Z", "an account's name: at most 31 small letters, digits, - and _"),
]
Device = Annotated[str, kind(r"\A[A-Za-z0-9][A-Za-z0-9._:/+|*-]*\Z", "a device's name, or its MAC")]
Package = Annotated[str, kind(_PACKAGE, "a package's name")]
Group = Annotated[
    str, kind(rf"\A[^-@^#\s{_BREAKS}][^#{_BREAKS}]*(?<![\s])\Z", "a group's name, without the @")
]
# What stands in /etc/passwd.
FullName = Annotated[str, kind(rf"\A[^{_BREAKS}:]*\Z", "one line of text without colons")]
AccountPath = Annotated[str, kind(rf"\A/[^{_BREAKS}:\s]*\Z", "a path from the root, no blanks, no colons")]
Key = Annotated[str, kind(rf"\A[A-Za-z0-9][^{_BREAKS}]*\Z", "a public key: a line of authorized_keys")]
Layout = Annotated[
    str, kind(r"\A[A-Za-z][A-Za-z0-9_ ()-]*\Z", "a keyboard layout, such as us or cz (qwerty)")
]
RawLine = Annotated[str, kind(_PLAIN, "one line of text")]
Script = Annotated[str, kind(_SCRIPT, "lines of text, without control characters")]  # ended by line feeds
Count = Annotated[int, msgspec.Meta(ge=0)]
Port = Annotated[
    str, kind(r"\A[A-Za-z0-9-]+(:(tcp|udp))?\Z", "a port and its protocol, such as 8080:tcp or imap:tcp")
]


def is_hash(text: str) -> bool:
    """Whether a text can be the hash of an account's password, or what no password hashes to."""
    return bool(re.match(_HASH, text))


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """What every part of a profile keeps to: unknown keys are errors, values never change."""
