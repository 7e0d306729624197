"""Who is meant by the names in an archive's ACLs.

Law: settled when all is there, because an archive's etc/passwd may come after the file with the ACL. The
owners that the members name go first (the same program wrote both, from the same table), then the image's
own etc/passwd and etc/group; a name that is nowhere is refused. What the tables of this machine say is never
asked.
"""

from __future__ import annotations

import tarfile

from images.acl import ACCESS, UnknownName, acl_xattr, minimal, numbers
from images.errors import BadInput
from images.importing.intake import Intake
from images.pax import ACLS, XATTR

_TEXTS = {text: name for name, text in ACLS.items()}


class AclNames:
    """The names of one import."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._users: dict[str, int] = {}  # as the members told them
        self._groups: dict[str, int] = {}
        self._open: dict[int, tuple[str, dict[str, str]]] = {}  # record -> its member, its ACLs as text

    def note(self, member: tarfile.TarInfo) -> None:
        """Remember the owner that a member names."""
        self._users.setdefault(member.uname, member.uid)
        self._groups.setdefault(member.gname, member.gid)

    def read(self, member: tarfile.TarInfo) -> tuple[dict[str, bytes], dict[str, str]]:
        """A member's ACLs as xattrs, and by xattr those that name somebody unknown yet. Raises BadInput.

        Where the kernel's own form lies beside the text (GNU tar with --xattrs), that one counts: it has
        numbers.
        """
        found: dict[str, bytes] = {}
        unknown: dict[str, str] = {}
        for key, name in _TEXTS.items():
            text = member.pax_headers.get(key)
            if text is None or XATTR + name in member.pax_headers:
                continue
            try:
                value = acl_xattr(text, self._users, self._groups)
            except UnknownName:
                unknown[name] = text
                continue
            except BadInput as err:
                raise BadInput(f"archive member {member.name!r}: {err}") from err
            if name != ACCESS or not minimal(value):  # the kernel keeps a minimal one as the mode alone
                found[name] = value
        return found, unknown

    def postpone(self, record: int, member: tarfile.TarInfo, unknown: dict[str, str]) -> None:
        """Keep what `read` could not settle for the entry with that record."""
        if unknown:
            self._open[record] = (member.name, unknown)

    def settle(self) -> None:
        """Settle what was postponed and is still in the tree. Raises BadInput."""
        tree = self._intake.tree
        left = self._open.keys() & tree.named()
        if not left:
            return
        users = {**self._table(b"etc/passwd"), **self._users}
        groups = {**self._table(b"etc/group"), **self._groups}
        amended = {}
        for record in sorted(left):
            entry, (name, texts) = tree.get(record), self._open[record]
            try:
                found = {key: acl_xattr(text, users, groups) for key, text in texts.items()}
            except UnknownName as err:
                raise BadInput(_stranger(name, err)) from err
            except BadInput as err:
                raise BadInput(f"archive member {name!r}: {err}") from err
            amended[record] = entry._replace(xattrs={**entry.xattrs, **found})
        tree.amend(amended.items())
        self._open.clear()

    def _table(self, path: bytes) -> dict[str, int]:
        """Of the image as it is now; empty when it has no such file."""
        record = self._intake.tree.record(path)
        if record is None:
            return {}
        return numbers(self._intake.session.read(self._intake.tree.get(record).chunks))


def _stranger(member: str, err: UnknownName) -> str:
    table = "passwd" if err.kind == "user" else "group"
    return (
        f"archive member {member!r}: {err}: no owner in the archive has that name, and its etc/{table} has it"
        f" not; add it there, or pack again with numbers (tar --acls --xattrs, or bsdtar)"
    )
