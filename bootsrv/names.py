"""What a person may write as a name, a MAC or an address, brought to its one form. Pure; raises Invalid with
the rule."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address

from bootsrv.errors import Invalid

_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)\Z")  # RFC 1123 section 2.1
_GROUP = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}\Z")
_USER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}\Z")
_DISK = re.compile(r"/dev/(?!.*\.\.)[\w./:+-]*[\w+-]\Z|(?:serial|model|wwn):\s*\S.*\Z")
_SIZE = re.compile(r"(\d{1,15})([KMGT]?)\Z")
_MOUNT = frozenset(' ,:\\"')  # what options of a mount could not hold
_MAC = re.compile(r"[0-9a-f]{12}\Z")
_CONTROL = re.compile(r"[^\n\t\x20-\x7e\xa0-\U0010ffff]")


def label(text: str) -> str:
    """A node's name: one RFC 1123 label, in lower case."""
    name = text.strip().lower()
    if not _LABEL.match(name):
        raise Invalid(f"name {text!r}: use 1 to 63 letters, digits and hyphens, no hyphen at either end")
    if name.isdigit():
        raise Invalid(f"name {text!r}: a name of digits only would be taken for an address")
    if name == "localhost":  # RFC 6761 section 6.3
        raise Invalid(f"name {text!r} is what every machine calls itself")
    return name


def group(text: str) -> str:
    """A group's name."""
    name = text.strip().lower().removeprefix("@")
    if not _GROUP.match(name) or name == "all":
        raise Invalid(
            f"group {text!r}: use 1 to 63 of a-z 0-9 . _ - and start with a letter or digit (not `all`)"
        )
    return name


def user(text: str) -> str:
    """A person's login name."""
    if not _USER.match(text):
        raise Invalid(
            f"user {text!r}: use 1 to 64 of letters, digits . _ - @ and start with a letter or digit"
        )
    return text


def disk(text: str) -> str:
    """The disk to image, as the imager looks for it: a path, or a serial number, model or WWN."""
    if not _DISK.match(text.strip()):
        raise Invalid(f"disk {text!r}: use /dev/NAME, serial:NUMBER, model:NAME or wwn:NUMBER")
    return text.strip()


def kept_path(text: str) -> str:
    """A directory of a diskless node whose content is kept: absolute, in its shortest form, not all of it."""
    path = text.strip()
    parts = [part for part in path.split("/") if part]
    plain = path.isprintable() and path.isascii() and not set(path) & _MOUNT
    if not path.startswith("/") or not plain or len(path) > 200 or {".", ".."} & set(parts):
        raise Invalid(
            f'path {text!r}: use an absolute path of printable ASCII, without `..`, blanks, : , \\ "'
        )
    if not parts or parts[0] in ("proc", "sys", "dev", "run"):
        raise Invalid(f"path {text!r}: this one cannot be kept (writes `keep` keeps all)")
    return "/" + "/".join(parts)


def size(text: str | int) -> int:
    """Bytes: a number, or one with K, M, G or T, powers of 1024."""
    found = _SIZE.match(str(text).strip().upper())
    if not found or not int(found[1]):
        raise Invalid(f"size {text!r}: use bytes, or a number with K, M, G or T, such as 2G")
    return int(found[1]) << 10 * " KMGT".index(found[2] or " ")


def mac(text: str) -> str:
    """52:54:00:00:00:01 from any of the usual notations."""
    found = try_mac(text)
    if found is None:
        raise Invalid(f"{text!r} is not a MAC address such as 52:54:00:00:00:01")
    if int(found[:2], 16) & 1:
        raise Invalid(f"{found} is a multicast address, so no machine has it")
    if found == "00:00:00:00:00:00":
        raise Invalid(f"{found} is no machine's address")
    return found


def try_mac(text: str) -> str | None:
    """The same, or None when it isn't one."""
    plain = re.sub(r"[:.-]", "", text.strip().lower())
    if not _MAC.match(plain) or len(text.strip()) not in (12, 14, 17):
        return None
    return ":".join(plain[i : i + 2] for i in range(0, 12, 2))


def address(text: str | IPv4Address) -> IPv4Address:
    """An IPv4 address."""
    try:
        return IPv4Address(text)
    except AddressValueError as error:
        raise Invalid(f"{text!r} is not an IPv4 address") from error


def printable(text: str) -> str:
    """What a machine says, without what would steer a terminal."""
    return _CONTROL.sub("", text)
