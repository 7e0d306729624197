"""Archives of every kind and every damage."""

from __future__ import annotations

import base64
import contextlib
import io
import lzma
import os
import random
import struct
import subprocess
import tarfile
from pathlib import Path

import pytest
from imagestore import contents, make, noise

from images.acl import acl_xattr
from images.errors import BadInput
from images.importing.auto import import_image
from images.manifest import Entry
from images.store import ImageStore


def member(name: str, data: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


ETC = member("etc", type=tarfile.DIRTYPE, mode=0o755)


def archive(path: Path, *members: tuple[tarfile.TarInfo, bytes], format: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(path, "w", format=format) as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return path


def entries(store: ImageStore, ref: str) -> dict[bytes, Entry]:
    return {entry.path: entry for entry in store.manifest(ref).entries()}


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_dialects(tmp_path: Path, format: int) -> None:
    store = make(tmp_path)
    long = "/".join(["directory"] * 12) if format != tarfile.USTAR_FORMAT else "directory"
    made = archive(
        tmp_path / "a.tar", ETC, member(f"{long}/file", b"data", uname="me", uid=1000, mtime=77),
        member("./etc/link", type=tarfile.SYMTYPE, linkname="../x"), format=format,
    )  # fmt: skip
    import_image(store, "a", made)
    found = entries(store, "a")
    file = found[f"{long}/file".encode()]
    assert (file.user, file.uid, file.mtime_ns) == ("me", 1000, 77_000_000_000)
    assert found[b"etc/link"].target == b"../x"
    assert contents(store, "a") == {f"{long}/file": b"data"}


def test_pax_details(tmp_path: Path) -> None:
    headers = {
        "mtime": "1234567890.123456789",
        "SCHILY.xattr.user.raw": b"\x00\xff\n=".decode("utf-8", "surrogateescape"),
        "LIBARCHIVE.xattr.user.a%20b": base64.b64encode(b"\x01\x02").decode().rstrip("="),
        "RHT.security.selinux": "system_u:object_r:etc_t:s0",
        "SCHILY.acl.access": "user::rw-,user:lisa:r--:1001,group::r--,mask::r--,other::---",
    }
    store = make(tmp_path)
    import_image(store, "a", archive(tmp_path / "a.tar", ETC, member("etc/x", pax_headers=headers)))
    entry = entries(store, "a")[b"etc/x"]
    assert entry.mtime_ns == 1234567890_123456789
    assert entry.xattrs["user.raw"] == b"\x00\xff\n="
    assert entry.xattrs["user.a b"] == b"\x01\x02"
    assert entry.xattrs["security.selinux"] == b"system_u:object_r:etc_t:s0\0"
    assert entry.xattrs["system.posix_acl_access"][4 + 8 : 4 + 16] == struct.pack("<HHI", 2, 4, 1001)


def test_owners_without_names_have_those_of_the_image(tmp_path: Path) -> None:
    """tar --numeric-owner, package tools, containers; what reads a disk would say the same."""
    tables = b"root:x:0:0::/:/bin/sh\nada:x:1000:100::/:/bin/sh\n", b"users:x:100:\nstaff:x:50:\n"
    path = archive(
        tmp_path / "a.tar", ETC, member("home/a", b"1", uid=1000, gid=100), member("home/b", uid=77, gid=50),
        member("home/c", uid=1000, gid=50, uname="own"), member("etc/passwd", tables[0]),
        member("etc/group", tables[1]),
    )  # fmt: skip
    store = make(tmp_path)
    import_image(store, "a", path)
    found = {path: (entry.user, entry.group) for path, entry in entries(store, "a").items()}
    assert found[b"home/a"] == ("ada", "users") and found[b"home/b"] == ("", "staff")
    assert found[b"home/c"] == ("own", "staff") and found[b"etc/passwd"] == ("root", "")


def test_later_members_replace_and_links_follow(tmp_path: Path) -> None:
    store = make(tmp_path)
    made = archive(
        tmp_path / "a.tar", ETC, member("etc/x", b"old"),
        member("etc/hard", type=tarfile.LNKTYPE, linkname="./etc/x"),
        member("etc/x", b"new"), member("lib", type=tarfile.SYMTYPE, linkname="etc"),
        member("lib/y", b"through"),
    )  # fmt: skip
    import_image(store, "a", made)
    assert contents(store, "a") == {"etc/hard": b"old", "etc/x": b"new", "etc/y": b"through"}


@pytest.mark.parametrize("name", ["../x", "etc/../../x", "a/.."])
def test_names_that_leave(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match="leave the tree"):
        import_image(make(tmp_path), "a", archive(tmp_path / "a.tar", ETC, member(name, b"x")))


def test_absolute_names_and_the_root_itself(tmp_path: Path) -> None:
    store = make(tmp_path)
    root = member("./", type=tarfile.DIRTYPE, mode=0o711)
    import_image(store, "a", archive(tmp_path / "a.tar", root, ETC, member("/etc/x", b"x")))
    assert entries(store, "a")[b""].mode == 0o711 and contents(store, "a") == {"etc/x": b"x"}


def test_parents_that_are_not_in_the_archive(tmp_path: Path) -> None:
    """As GNU tar packs a list of files. Made as tar makes them, and the same at every import."""
    root = tmp_path / "root"
    for name, age in (("etc/passwd", 100), ("usr/share/a/b", 300), ("usr/share/c", 200)):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
        os.utime(root / name, (age, age))
    for folder in ("etc", "usr/share/a", "usr/share", "usr", "."):
        (root / folder).chmod(0o700)  # nothing in the archive says so
    (tmp_path / "list").write_text("etc/passwd\nusr/share/a/b\nusr/share/c\n")
    command = ["tar", "-cf", str(tmp_path / "a.tar"), "-C", str(root), "-T", str(tmp_path / "list")]
    subprocess.run(command, check=True)
    store = make(tmp_path)
    import_image(store, "a", tmp_path / "a.tar")
    found = entries(store, "a")
    times = {b"": 300, b"etc": 100, b"usr": 300, b"usr/share": 300, b"usr/share/a": 300}
    for path, seconds in times.items():
        entry = found.pop(path)
        assert (entry.type, entry.mode, entry.uid, entry.gid) == ("dir", 0o755, 0, 0)
        assert entry.mtime_ns == seconds * 10**9
    assert sorted(found) == [b"etc/passwd", b"usr/share/a/b", b"usr/share/c"]


def test_a_parent_that_is_a_file(tmp_path: Path) -> None:
    members = [member(name, b"x") for name in ("etc/x/y", "etc/x", "etc/x/z")]
    made = archive(tmp_path / "a.tar", *members)
    with pytest.raises(BadInput, match=r"^/etc/x is no directory but has content"):
        import_image(make(tmp_path), "a", made)


@pytest.mark.parametrize("pack", [None, "gz", "xz"])
def test_cut_off_anywhere(tmp_path: Path, pack: str | None) -> None:
    """Between members too, where tarfile by itself sees a good end."""
    store = make(tmp_path)
    whole = archive(
        tmp_path / "a.tar", ETC, member("etc/a", noise(3000, 1)), member("etc/b", b"b" * 700)
    ).read_bytes()
    data = whole[: len(whole.rstrip(b"\0")) + 2048]
    if pack:
        import gzip

        data = gzip.compress(data) if pack == "gz" else lzma.compress(data)
    cut = tmp_path / "cut"
    cut.write_bytes(data)
    import_image(store, "good", cut)
    end = len(data) - 1600 if pack is None else len(data)
    for size in [*range(1, end, 257), *(range(512, end, 512))]:
        cut.write_bytes(data[:size])
        with pytest.raises(BadInput):
            import_image(store, "bad", cut)
    assert store.names() == ["good"]


@pytest.mark.parametrize(
    "data", [b"", b"hello", noise(5000, 1), b"\x1f\x8b" + noise(500, 2), b"\x28\xb5\x2f\xfd" + noise(500, 3)]
)
def test_what_is_no_archive(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(BadInput):
        import_image(make(tmp_path), "a", tmp_path / "x")


def test_what_is_no_root(tmp_path: Path) -> None:
    store = make(tmp_path)
    with pytest.raises(BadInput, match="no /etc"):
        import_image(store, "a", archive(tmp_path / "a.tar", member("README", b"x")))
    with pytest.raises(BadInput, match="does not exist"):
        import_image(store, "a", tmp_path / "nothing")
    version = import_image(store, "a", archive(tmp_path / "b.tar", ETC))
    assert "no kernel" in version.meta["warnings"][0]


def test_what_kind_of_system(tmp_path: Path) -> None:
    release = b'PRETTY_NAME="Some Linux 1"\nID=some\nVERSION_ID="1"\n# comment\nHOME_URL=x\n'
    elf = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\x00\xb7\x00"
    made = archive(
        tmp_path / "a.tar", ETC, member("usr/lib/os-release", release),
        member("boot/vmlinuz-6.1.0-9", b"kernel"),
        member("etc/os-release", type=tarfile.SYMTYPE, linkname="../usr/lib/os-release"),
        member("bin/bash", elf),
    )  # fmt: skip
    meta = import_image(make(tmp_path), "a", made, meta={"kernel_args": "quiet"}).meta
    assert meta["os_release"] == {"pretty_name": "Some Linux 1", "id": "some", "version_id": "1"}
    assert (meta["kernels"], meta["architecture"], meta["kernel_args"]) == (["6.1.0-9"], "arm64", "quiet")
    assert "warnings" not in meta


def test_progress_reaches_the_end(tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    made = archive(tmp_path / "a.tar", ETC, member("etc/big", noise(20_000_000, 1)))
    import_image(make(tmp_path), "a", made, progress=lambda done, total, what: told.append((done, total)))
    size = made.stat().st_size
    assert {total for _, total in told} == {size}
    assert [done for done, _ in told] == sorted(done for done, _ in told) and told[-1][0] > size * 0.9
    assert len(told) > 2


@pytest.mark.parametrize("text", ["user", "user::rwz", "user:nobody-such:rwx", "door::rwx", "mask:x:r--"])
def test_acls_that_are_none(text: str) -> None:
    with pytest.raises(BadInput):
        acl_xattr(text, {}, {})


def test_any_damage_is_bad_input_or_an_image(tmp_path: Path) -> None:
    """tarfile meets some broken headers with other errors than its own; a person sees one line."""
    store = make(tmp_path)
    headers = {
        "mtime": "1.5",
        "SCHILY.xattr.user.a": "b",
        "SCHILY.acl.access": "user::rw-",
        "GNU.sparse.realsize": "9",
    }
    sparse = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": "s",
        "GNU.sparse.realsize": "2000",
    }
    good = archive(
        tmp_path / "a.tar",
        ETC,
        member("etc/x", b"x" * 600, pax_headers=headers),
        member("etc/sparse", b"1\n100\n5\n".ljust(512, b"\0") + b"12345", pax_headers=sparse),
        member("etc/dev", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
        member("etc/hard", type=tarfile.LNKTYPE, linkname="etc/x"),
    ).read_bytes()[:8192]
    rng = random.Random(7)
    bad = tmp_path / "bad.tar"
    for _ in range(600):
        data = bytearray(good)
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(len(data))] = rng.choice([0, 0x20, 0x30, 0x31, 0x39, 0xFF, rng.randrange(256)])
        bad.write_bytes(_fixed(data) if rng.random() < 0.7 else data)
        with contextlib.suppress(BadInput):
            import_image(store, "a", bad)


def _fixed(data: bytearray) -> bytes:
    """The same with every header's checksum made right, so that the damage gets further in."""
    for at in range(0, len(data) - 511, 512):
        if data[at + 257 : at + 262] == b"ustar":
            data[at + 148 : at + 156] = b" " * 8
            data[at + 148 : at + 156] = b"%06o\0 " % sum(data[at : at + 512])
    return bytes(data)
