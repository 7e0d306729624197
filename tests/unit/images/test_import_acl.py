"""ACLs that name people: archives as GNU tar and bsdtar write them, of a root with Debian's own users."""

from __future__ import annotations

import io
import json
import shutil
import struct
import subprocess
import tarfile
from pathlib import Path

import pytest
from imagestore import make

from images.acl import acl_xattr, minimal, numbers
from images.errors import BadInput
from images.importing.auto import import_image
from images.manifest import Entry
from images.store import ImageStore

MASTERS = Path("/usr/share/base-passwd")  # what every Debian's etc/passwd and etc/group begin as
ROWS = struct.Struct("<HHI")
NAMED_USER, NAMED_GROUP = 2, 8


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A Debian-like root. A directory before /etc in the archive has the ACLs; no file belongs to those
    whom they name, and in this root's tables they have other numbers than on any Debian.
    """
    made = tmp_path / "root"
    (made / "etc").mkdir(parents=True)
    (made / "data").mkdir()
    (made / "data/file").write_text("x")
    for name in ("passwd", "group"):
        text = (MASTERS / f"{name}.master").read_text()
        moved = text.replace("games:*:5:60:", "games:*:5005:60:")
        moved = moved.replace("www-data:*:33:", "www-data:*:6033:")
        assert moved != text
        (made / "etc" / name).write_text(moved)
    for acl, place in (
        (["-m", "u:games:rw,g:www-data:r"], "data/file"),
        (["-d", "-m", "u:games:rx,g:www-data:rwx"], "data"),
    ):
        subprocess.run(["setfacl", *acl, str(made / place)], check=True)
    return made


def packed(root: Path, *command: str, what: tuple[str, ...] = ("data", "etc")) -> Path:
    path = root.parent / "a.tar"
    subprocess.run([*command, "-cf", str(path), "-C", str(root), *what], check=True)
    return path


def entries(store: ImageStore, ref: str) -> dict[bytes, Entry]:
    return {entry.path: entry for entry in store.manifest(ref).entries()}


def who(entry: Entry, name: str = "access") -> dict[int, tuple[int, int]]:
    """Tag to (permissions, id) of the two named rows of an ACL."""
    value = entry.xattrs[f"system.posix_acl_{name}"]
    rows = ROWS.iter_unpack(value[4:])
    return {tag: (rights, number) for tag, rights, number in rows if tag in (NAMED_USER, NAMED_GROUP)}


def test_gnu_tar_with_names_alone(root: Path, tmp_path: Path) -> None:
    """Only the archive's own tables, which come after the ACLs, can tell these numbers."""
    store = make(tmp_path)
    made = packed(root, "tar", "--acls")
    with tarfile.open(made) as tar:
        assert tar.getnames().index("data/file") < tar.getnames().index("etc/passwd")
        assert "user:games:rw-\n" in tar.getmember("data/file").pax_headers["SCHILY.acl.access"]
    import_image(store, "a", made)
    found = entries(store, "a")
    assert who(found[b"data/file"]) == {NAMED_USER: (6, 5005), NAMED_GROUP: (4, 6033)}
    assert who(found[b"data"], "default") == {NAMED_USER: (5, 5005), NAMED_GROUP: (7, 6033)}


@pytest.mark.parametrize(
    "command", [("tar", "--acls", "--xattrs", "--numeric-owner"), ("bsdtar", "--acls", "--format=pax")]
)
def test_archives_with_numbers(root: Path, tmp_path: Path, command: tuple[str, ...]) -> None:
    """GNU tar's --xattrs has the kernel's own form beside the names, bsdtar has numbers beside them."""
    store = make(tmp_path)
    import_image(store, "a", packed(root, *command))
    import_image(store, "plain", root)  # what the kernel says of the same files
    found, plain = entries(store, "a"), entries(store, "plain")
    assert who(found[b"data/file"]) == {NAMED_USER: (6, 5), NAMED_GROUP: (4, 33)}
    for path in (b"data", b"data/file", b"etc/passwd"):
        assert found[path].xattrs == plain[path].xattrs


@pytest.mark.parametrize("table", ["passwd", "group"])
def test_a_name_that_is_nowhere(root: Path, tmp_path: Path, table: str) -> None:
    path = root / "etc" / table
    path.write_text("".join(line + "\n" for line in path.read_text().splitlines() if line[:3] == "roo"))
    who = {"passwd": "user 'games'", "group": "group 'www-data'"}[table]
    store = make(tmp_path)
    with pytest.raises(BadInput) as refused:
        import_image(store, "a", packed(root, "tar", "--acls"))
    said = str(refused.value)
    assert "archive member 'data" in said and f"the {who}, who is unknown" in said
    assert f"etc/{table}" in said and "--xattrs" in said and store.names() == []
    shutil.rmtree(root / "data")
    (root / "data").mkdir()
    import_image(store, "a", packed(root, "tar", "--acls"))


def test_owners_in_the_archive_come_first(tmp_path: Path) -> None:
    """They and the ACL's names are of the same table, whatever the image's own says."""
    store = make(tmp_path)
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name, data, acl, owner in (
            ("etc/x", b"", "user::rw-,user:lisa:r--,group::r--,mask::r--,other::---", "root"),
            ("etc/passwd", b"+::::::\nlisa:x:7\nlisa:x:8\nbroken\nmax:x:1001:1:::\n", None, "root"),
            ("etc/y", b"", "user::rw-,user:max:r--,group::r--,mask::r--,other::---", "lisa"),
        ):
            info = tarfile.TarInfo(name)
            info.size, info.uname, info.uid = len(data), owner, 1000 if owner == "lisa" else 0
            if acl:
                info.pax_headers = {"SCHILY.acl.access": acl}
            tar.addfile(info, io.BytesIO(data))
    import_image(store, "a", tmp_path / "a.tar")
    found = entries(store, "a")
    assert who(found[b"etc/x"]) == {NAMED_USER: (4, 1000)} and who(found[b"etc/y"]) == {NAMED_USER: (4, 1001)}


def layered(path: Path, *layers: Path) -> Path:
    """What `docker save` writes, of tars as layers."""
    path.mkdir()
    for number, layer in enumerate(layers):
        shutil.copy(layer, path / f"{number}.tar")
    (path / "c.json").write_text(json.dumps({"os": "linux"}))
    row = {"Config": "c.json", "Layers": [f"{number}.tar" for number in range(len(layers))]}
    (path / "manifest.json").write_text(json.dumps([row]))
    return path


def test_layers(root: Path, tmp_path: Path) -> None:
    """The tables of the merged image count, and an ACL that a later layer took away is asked of nobody."""
    store = make(tmp_path)
    first = packed(root, "tar", "--acls").rename(tmp_path / "first.tar")
    (root / "data/file").unlink()
    (root / "data/.wh.file").touch()
    passwd = root / "etc/passwd"
    passwd.write_text(passwd.read_text().replace("games:*:5005:", "games:*:5006:"))
    second = packed(root, "tar", "--acls").rename(tmp_path / "second.tar")
    (root / "etc/passwd").write_text("root:x:0:0::/:\n")
    subprocess.run(["setfacl", "-b", str(root / "data")], check=True)
    third = packed(root, "tar", "--acls").rename(tmp_path / "third.tar")
    tables = packed(root, "tar", "--acls", what=("etc",)).rename(tmp_path / "tables.tar")

    import_image(store, "two", layered(tmp_path / "two", first, second))
    assert who(entries(store, "two")[b"data"], "default")[NAMED_USER] == (5, 5006)
    import_image(store, "three", layered(tmp_path / "three", first, second, third))
    assert entries(store, "three")[b"data"].xattrs == {}
    with pytest.raises(BadInput, match="games"):
        import_image(store, "bad", layered(tmp_path / "bad", first, tables))


def test_tables_behind_links(root: Path, tmp_path: Path) -> None:
    store = make(tmp_path)
    (root / "etc/passwd").rename(root / "etc/users")
    (root / "etc/passwd").symlink_to("/etc/users")
    import_image(store, "a", packed(root, "tar", "--acls"))
    assert who(entries(store, "a")[b"data/file"])[NAMED_USER] == (6, 5005)


def test_ids_and_tables_that_are_none() -> None:
    assert numbers(b"a:x:1:\n:x:2\nb:x:-1\nc:x:4294967295\nd:x:\xb2\nb:x:3\n\xff:x:9\n") == {
        "a": 1, "b": 3, "\udcff": 9
    }  # fmt: skip
    with pytest.raises(BadInput, match="large"):
        acl_xattr("user:5000000000:r--", {}, {})
    assert minimal(acl_xattr("u::rw-,g::r--,o::r--", {}, {}))
    assert not minimal(acl_xattr("u::rw-,u:1:r--,g::r--,m::r--,o::r--", {}, {}))
