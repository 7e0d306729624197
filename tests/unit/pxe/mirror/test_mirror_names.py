"""Names in archives, and what indexes say of packages."""

from __future__ import annotations

import bz2
import gzip
import lzma

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from pxe.mirror import kinds, packages

SHA = "c" * 64


@pytest.mark.parametrize(
    ("path", "immutable", "sha256"),
    [
        ("pool/main/b/bash/bash_5.2-1_amd64.deb", True, ""),
        ("pool/main/a/anna/anna_1.91_amd64.udeb", True, ""),
        ("Packages/b/bash-5.2.26-4.fc41.x86_64.rpm", True, ""),
        ("pool/main/b/bash/bash_5.2.orig.tar.xz", True, ""),
        (f"dists/trixie/main/binary-amd64/by-hash/SHA256/{SHA}", True, SHA),
        (f"dists/trixie/main/binary-amd64/by-hash/MD5Sum/{'c' * 32}", True, ""),
        (f"repodata/{SHA}-primary.xml.zst", True, SHA),
        ("dists/trixie/InRelease", False, ""),
        ("dists/trixie/main/binary-amd64/Packages.xz", False, ""),
        ("repodata/repomd.xml", False, ""),
        ("repodata/primary.xml.gz", False, ""),
        (".treeinfo", False, ""),
        ("images/pxeboot/vmlinuz", False, ""),
        (f"x-by-hash/SHA256/{SHA}", False, ""),
    ],
)
def test_kinds(path: str, immutable: bool, sha256: str) -> None:
    assert kinds.named(path) == kinds.Named(immutable, sha256)


@given(st.text(max_size=100))
def test_any_name_is_refused_or_tidy(raw: str) -> None:
    path = kinds.clean(raw)
    if path is not None:
        assert not path.startswith("/")
        assert not {"", ".", ".."} & set(path.split("/"))
        assert kinds.clean(kinds.url("", path)) == path
        kinds.named(path)


def test_addresses() -> None:
    assert kinds.url("http://a/debian/", "pool/a b+1~2.deb") == "http://a/debian/pool/a%20b+1~2.deb"
    assert kinds.clean("pool/a%2Bb%7e.deb?x=1") == "pool/a+b~.deb"


@pytest.mark.parametrize(
    ("path", "root"),
    [
        ("dists/trixie/main/binary-amd64/Packages.xz", ""),
        (f"dists/trixie/main/binary-amd64/by-hash/SHA256/{SHA}", ""),
        ("debian/dists/trixie/main/debian-installer/binary-amd64/Packages.gz", "debian/"),
        ("flat/Packages", "flat/"),
        (f"BaseOS/repodata/{SHA}-primary.xml.gz", "BaseOS/"),
        ("repodata/primary.xml", ""),
        ("repodata/filelists.xml.gz", None),
        ("dists/trixie/InRelease", None),
        ("pool/a.deb", None),
    ],
)
def test_where_an_indexs_names_begin(path: str, root: str | None) -> None:
    assert packages.root_of(path) == root


DEBS = f"Package: a\nFilename: pool/a.deb\nSize: 12\nMD5sum: x\nSHA256: {SHA}\n\nPackage: b\n\n".encode()
RPMS = f"""<?xml version="1.0"?><metadata xmlns="x" packages="1"><package type="rpm"><name>a&amp;b</name>
<checksum type="sha256" pkgid="YES">{SHA}</checksum><size package="12" installed="3" archive="4"/>
<location href="Packages/a/a&amp;b-1.rpm"/></package></metadata>""".encode()


@pytest.mark.parametrize("packed", [bytes, gzip.compress, lzma.compress, bz2.compress, zstandard.compress])
def test_indexes(packed) -> None:  # type: ignore[no-untyped-def]
    assert list(packages.read(packed(DEBS))) == [("pool/a.deb", packages.Known(12, SHA))]
    assert list(packages.read(packed(RPMS))) == [("Packages/a/a&b-1.rpm", packages.Known(12, SHA))]


MAGIC = [b"", b"\x1f\x8b", b"\xfd7zXZ", b"BZh", b"\x28\xb5\x2f\xfd"]


@given(st.binary(max_size=200), st.sampled_from(MAGIC))
def test_any_bytes_are_an_index(data: bytes, magic: bytes) -> None:
    list(packages.read(magic + data))
    list(packages.read(gzip.compress(DEBS)[: len(data)]))
