"""The words in PAX records for what tar itself has not: extended attributes and ACLs. Pure.

GNU tar (src/xattrs.c) writes `=` and `%` of an attribute's name as %3D and %25, since `=` ends a keyword.
"""

from __future__ import annotations

from images.acl import ACCESS, DEFAULT

XATTR = "SCHILY.xattr."
ACLS = {ACCESS: "SCHILY.acl.access", DEFAULT: "SCHILY.acl.default"}


def keyword(name: str) -> str:
    """The keyword of an attribute."""
    return XATTR + name.replace("%", "%25").replace("=", "%3D")


def attribute(keyword: str) -> str:
    """The attribute of such a keyword; as in GNU tar, another % than of these two stays."""
    return keyword[len(XATTR) :].replace("%3D", "=").replace("%25", "%")
