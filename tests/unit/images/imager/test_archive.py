"""The archive that the kernel unpacks, read back by cpio itself; ELF needs; patterns."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from images.imager import cpio, elf
from images.imager.globs import compile_globs


def test_cpio_reads_what_we_write(tmp_path):
    entries = [
        cpio.directory("a"),
        cpio.file("a/odd", b"12345", 0o755),
        cpio.file("a/empty", b""),
        cpio.symlink("a/link", "odd"),
        cpio.Entry("a/copy", 0o100644, source=Path(__file__)),
    ]
    packed = b"".join(cpio.archive(entries))
    assert len(packed) % 4 == 0
    subprocess.run(["cpio", "-id", "--quiet"], input=packed, cwd=tmp_path, check=True)
    assert (tmp_path / "a/odd").read_bytes() == b"12345" and (tmp_path / "a/odd").stat().st_mode & 0o111
    assert (tmp_path / "a/link").readlink() == Path("odd")
    assert (tmp_path / "a/copy").read_bytes() == Path(__file__).read_bytes()


def test_same_in_same_out():
    entries = [cpio.directory("x"), cpio.file("x/y", b"z")]
    assert b"".join(cpio.archive(entries)) == b"".join(cpio.archive(entries))


def test_folders_come_before_what_they_hold_and_those_that_are_there_not_again():
    files = {"usr/lib/x/two": (b"2", 0o644), "init": (b"1", 0o755), "usr/lib/y": (b"3", 0o600)}
    made = list(cpio.contained(files, ["usr"]))
    assert [entry.name for entry in made] == ["init", "usr/lib", "usr/lib/x", "usr/lib/x/two", "usr/lib/y"]
    assert [oct(entry.mode) for entry in made] == ["0o100755", "0o40755", "0o40755", "0o100644", "0o100600"]


@pytest.mark.parametrize("name", ["/etc/x", "a/../../x"])
def test_names_that_leave_are_refused(name):
    with pytest.raises(ValueError, match="bad or repeated name"):
        list(cpio.archive([cpio.file(name, b"")]))


def test_a_name_twice_is_refused():
    with pytest.raises(ValueError, match="bad or repeated name"):
        list(cpio.archive([cpio.file("a", b""), cpio.file("a", b"")]))


def test_needs_of_a_real_program():
    assert "libc.so.6" in elf.needed(Path("/bin/ls").resolve().read_bytes())
    assert elf.needed(b"#!/bin/sh\n") == ()


@given(st.binary(max_size=300), st.integers(0, 4000))
def test_damaged_elf_is_an_error_or_has_no_needs(noise, at):
    raw = bytearray(Path("/bin/ls").resolve().read_bytes())
    raw[at : at + len(noise)] = noise
    try:
        assert all(isinstance(name, str) for name in elf.needed(bytes(raw)))
    except ValueError:
        pass


@pytest.mark.parametrize("cut", [0, 3, 5, 20, 63, 64, 1000])
def test_cut_off_elf(cut):
    raw = Path("/bin/ls").resolve().read_bytes()[:cut]
    try:
        assert elf.needed(raw) == ()
    except ValueError as error:
        assert "damaged" in str(error)


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("usr/bin/*", ["usr/bin/ls"], ["usr/bin/a/b", "usr/bin"]),
        ("fs/{ext4,xfs}/**", ["fs/ext4/ext4.ko", "fs/xfs/a/b"], ["fs/btrfs/x", "fs/ext4"]),
        ("**/*test*", ["a/b/mytest.ko", "test"], ["a/b/c"]),
        ("a/{b*,c}.ko*", ["a/bcd.ko.xz", "a/c.ko"], ["a/d.ko", "a/cc.ko"]),
        ("x?z", ["xyz"], ["x/z", "xz"]),
    ],
)
def test_patterns(pattern, yes, no):
    matcher = compile_globs([pattern])
    assert all(matcher.fullmatch(p) for p in yes) and not any(matcher.fullmatch(p) for p in no)


def test_no_pattern_matches_nothing_and_a_broken_one_is_said():
    assert not compile_globs([]).fullmatch("")
    with pytest.raises(ValueError, match="unclosed brace"):
        compile_globs(["a{b"])
