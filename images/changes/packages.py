"""Which packages a root has, from the databases of dpkg, apk and rpm. Pure but for rpm's, which is SQLite.

dpkg: deb-status in dpkg's manual. apk: one letter a field. rpm: since 4.16 one header (an index of tags, then
their data) per row of the table Packages; older Berkeley databases are not read.
"""

from __future__ import annotations

import sqlite3
import struct
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from images.errors import BadInput

Packages = Mapping[str, str]  # name (with its architecture where several are installed) to version
_NAME, _VERSION, _RELEASE, _EPOCH = 1000, 1001, 1002, 1003
_ROWS = struct.Struct(">4I")
_INT32, _STRING = 4, 6


def dpkg(text: bytes) -> Packages:
    """From var/lib/dpkg/status: what is installed (removed packages with configuration left do not count)."""
    found: dict[str, str] = {}
    for paragraph in text.decode("utf-8", "replace").split("\n\n"):
        fields = dict(
            line.split(": ", 1)
            for line in paragraph.splitlines()
            if line[:1] not in (" ", "") and ": " in line
        )
        if "Package" not in fields or fields.get("Status", "installed").split()[-1] != "installed":
            continue
        name = fields["Package"]
        if fields.get("Multi-Arch") == "same":
            name += f":{fields.get('Architecture', '')}"
        found[name] = fields.get("Version", "")
    return found


def apk(text: bytes) -> Packages:
    """From lib/apk/db/installed."""
    found: dict[str, str] = {}
    name = ""
    for line in text.decode("utf-8", "replace").splitlines():
        if line.startswith("P:"):
            name = line[2:]
        elif line.startswith("V:") and name:
            found[name] = line[2:]
    return found


def rpm(data: bytes) -> Packages:
    """From rpmdb.sqlite. Raises BadInput when it is damaged."""
    found: dict[str, str] = {}
    with tempfile.NamedTemporaryFile(suffix=".sqlite") as file:
        file.write(data)
        file.flush()
        db = sqlite3.connect(f"{Path(file.name).as_uri()}?mode=ro&immutable=1", uri=True)
        try:
            for (blob,) in db.execute("SELECT blob FROM Packages"):
                name, version = _header(blob)
                if name != "gpg-pubkey":
                    found[name] = f"{found[name]}, {version}" if name in found else version
        except (sqlite3.DatabaseError, struct.error, IndexError, ValueError) as err:
            raise BadInput(f"the rpm database cannot be read: {err}") from err
        finally:
            db.close()
    return found


def _header(blob: bytes) -> tuple[str, str]:
    count, _ = struct.unpack_from(">2I", blob)
    base = 8 + 16 * count
    fields: dict[int, str] = {}
    for number in range(count):
        tag, kind, offset, _ = _ROWS.unpack_from(blob, 8 + 16 * number)
        if tag not in (_NAME, _VERSION, _RELEASE, _EPOCH):
            continue
        at = base + offset
        if kind == _INT32:
            fields[tag] = str(struct.unpack_from(">I", blob, at)[0])
        elif kind == _STRING:
            fields[tag] = blob[at : blob.index(b"\0", at)].decode("utf-8", "replace")
    epoch = f"{fields[_EPOCH]}:" if fields.get(_EPOCH, "0") != "0" else ""
    return fields.get(_NAME, "?"), f"{epoch}{fields.get(_VERSION, '')}-{fields.get(_RELEASE, '')}"


# Where the databases are, and who reads them. A root has one.
DATABASES: dict[bytes, Callable[[bytes], Packages]] = {
    b"var/lib/dpkg/status": dpkg,
    b"usr/lib/sysimage/rpm/rpmdb.sqlite": rpm,
    b"var/lib/rpm/rpmdb.sqlite": rpm,
    b"lib/apk/db/installed": apk,
    b"usr/lib/apk/db/installed": apk,
}
