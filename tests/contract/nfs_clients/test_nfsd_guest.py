"""The kernel's own NFS server, told by our drop-in, with a real kernel's client beside it in one virtual
machine: grants and withdrawals without a restart, nothing for others, and the administrator's exports as they
were."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import nastytree
import pytest
from nfs_machine import Guest, boot_files, expected, same_trees
from nfs_rig import FRIEND, ROOT, Net

from images.erofs.writing import write_image
from images.imager import cpio
from images.importing.from_directory import import_directory
from images.mirror import KEYRING, host_mirrors, sources
from images.netroot import modules
from images.store import ImageStore

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(600)]
PROGRAMS = ("usr/sbin/exportfs", "usr/sbin/rpc.nfsd", "usr/sbin/rpc.mountd", "sbin/rpcbind")
LIBRARIES = ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu")
SERVICES = (b"nfs 2049", b"sunrpc 111")
GLIBC = [f"lib{name}.so.{n}" for name, n in (("c", 6), ("m", 6), ("resolv", 2), ("pthread", 0), ("dl", 2))]
SUITE = "bookworm"  # programs of an older release run with the C library of a newer one


@pytest.fixture
def net() -> Iterator[Net]:
    made = Net()
    yield made
    made.close()


@pytest.fixture
def server(tmp_path: Path) -> list[cpio.Entry]:
    """nfs-utils of the guest's release below /nfsd, and our side of it beside the agent."""
    root = tmp_path / "nfsd"
    command = ["mmdebstrap", "--quiet", "--variant=extract", "--include=nfs-kernel-server,rpcbind"]
    command += [f"--keyring={KEYRING}", SUITE, str(root), *sources(SUITE, host_mirrors())]
    subprocess.run(command, check=True)
    paths = {name: root / name for name in PROGRAMS}
    for folder in LIBRARIES:
        found = (root / folder).glob("lib*.so.*")
        paths |= {f"{folder}/{path.name}": path for path in found if path.name not in GLIBC}
    entries = [cpio.file(f"nfsd/{name}", path.read_bytes(), 0o755) for name, path in paths.items()]
    folders = {str(folder) for entry in entries for folder in Path(entry.name).parents} - {"."}
    house = "usr/lib/bootsrv/agent/images"
    own = [ROOT / "images/disk.py", *sorted((ROOT / "images/nfs").glob("*.py"))]
    return [
        *map(cpio.directory, sorted(folders)), *entries, cpio.directory(f"{house}/nfs"),
        *(cpio.file(f"{house}/{path.relative_to(ROOT / 'images')}", path.read_bytes()) for path in own),
        cpio.directory("srv"), cpio.directory("var"), cpio.directory("etc/exports.d"),
        cpio.file("etc/netconfig", (root / "etc/netconfig").read_bytes()),
        cpio.file("etc/services", b"".join(b"%s/tcp\n%s/udp\n" % (row, row) for row in SERVICES)),
        cpio.file("etc/protocols", b"tcp 6 TCP\nudp 17 UDP\n"),
    ]  # fmt: skip


def with_nfsd(monkeypatch: pytest.MonkeyPatch) -> None:
    """A first RAM disk that has the server's modules as well."""
    lists = modules.load()
    more = modules.Lists((*lists.keep, "fs/nfsd/**", "net/sunrpc/**"), lists.drop, lists.boot)
    monkeypatch.setattr(modules, "load", lambda: more)


def test_the_kernels_server(
    net: Net, tmp_path: Path, server: list[cpio.Entry], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tree").mkdir()
    nastytree.build(tmp_path / "tree")
    (tmp_path / "tree/dev").rename(tmp_path / "tree/nodes")
    store = ImageStore.open(tmp_path / "store")
    import_directory(store, "nasty", tmp_path / "tree")
    write_image(store.manifest("nasty"), store.source("nasty"), tmp_path / "root.erofs")
    with_nfsd(monkeypatch)
    image = cpio.file("nfstest/root.erofs", (tmp_path / "root.erofs").read_bytes())
    kernel, initrd = boot_files(tmp_path, "nfsd_guest.py", "nfs_guest.py", more=[*server, image])
    guest = Guest(net, kernel, initrd, tmp_path / "serial")
    try:
        assert guest.said("stopped", 180)["runs"] is False
        assert guest.said("up", 60)["runs"] is True
        same_trees(guest, expected(tmp_path / "tree"))
        row = guest.said("stranger", 60)
        assert "denied" in row["4.2"] + row["3"] or "No such file" in row["4.2"], row
        assert isinstance(row["4.2"], str) and isinstance(row["3"], str)
        row = guest.said("away", 60)
        assert isinstance(row["4.2"], str) and isinstance(row["3"], str), "not what lies below"
        row = guest.said("writes", 60)
        assert (row["size"], row["owner"], row["mode"]) == (5_000_000, [12, 34], "0o100640")
        assert "No space left" in guest.said("full", 120)["error"]
        for _ in ("4.2", "3"):
            row = guest.said("went on", 180)
            assert row["same"] and row["fresh"], row
        row = guest.said("withdrawn", 60)
        assert isinstance(row["4.2"], str) and isinstance(row["3"], str), row
        assert "big" in guest.said("again", 60)["names"]
        row = guest.said("closed", 60)
        assert isinstance(row["root"], str) and row["admin"] == [["file"], ["file"]], row
        assert row["by_hand"] == [], "what was exported by hand is left alone"
        assert row["file"].startswith("/srv/admin ") and FRIEND in row["file"]
        assert not row["drop_in"] and int(row["threads"]) == 4
        guest.said("done", 30)
    finally:
        guest.close()
