"""What a diskless machine boots, out of a version: kernel, modules, base, signed blocks."""

from __future__ import annotations

import gzip
import io
import lzma
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard

from images import signature
from images.agent import sealed
from images.agent.netroot import __main__ as netroot_main
from images.agent.netroot import blocks, nfs
from images.errors import BadInput, ChunkCorrupt, ImageNotFound, SignatureInvalid
from images.imager.cpio import archive, directory, file
from images.manifest import Entry
from images.netroot import base, initramfs, kernel, modules
from images.netroot.treefiles import TreeFiles, files_below
from images.store import ImageStore
from tests.imagestore import ROOT, make, noise

PRIVATE = bytes(range(32))
PUBLIC = signature.public_key(PRIVATE)


def tree(store: ImageStore, files: dict[str, bytes], links: dict[str, str] | None = None) -> None:
    """A version whose files lie in directories; `links` are further names of files."""
    folders = {str(parent) for name in (*files, *(links or {})) for parent in Path(name).parents} - {"."}
    rows = {**dict.fromkeys(folders), **files, **(links or {})}
    with store.writer() as writer:
        writer.tree.add(ROOT)
        for name in sorted(rows, key=lambda name: name.split("/")):
            found = rows[name]
            if found is None:
                writer.tree.add(Entry(name.encode(), "dir", mode=0o755))
            elif isinstance(found, str):
                writer.tree.add(Entry(name.encode(), "hardlink", target=found.encode()))
            else:
                chunks = writer.put_stream(io.BytesIO(found).read)
                entry = Entry(name.encode(), "file", mode=0o644, size=len(found), chunks=chunks)
                writer.tree.add(entry)
        writer.publish("debian")


class TestTreeFiles:
    def test_reads_some_and_nothing_else(self, tmp_path: Path) -> None:
        store = make(tmp_path)
        data = {"boot/vmlinuz-1": noise(300_000, 1), "boot/config-1": b"x" * 9, "etc/passwd": b"root"}
        tree(store, data, {"boot/vmlinuz-old": "boot/vmlinuz-1"})
        files = TreeFiles(store, "debian", ["boot"])
        assert files.names == ["boot/config-1", "boot/vmlinuz-1", "boot/vmlinuz-old"]
        assert dict(files.read(["boot/vmlinuz-old", "boot/config-1"])) == {
            "boot/config-1": b"x" * 9, "boot/vmlinuz-old": data["boot/vmlinuz-1"],
        }  # fmt: skip
        with pytest.raises(ImageNotFound, match="/etc/passwd is not"):
            files.one("etc/passwd")

    def test_a_further_name_of_what_is_no_regular_file_is_none(self, tmp_path: Path) -> None:
        """One rule for who reads the files and for who only looks whether a kernel is there."""
        store = make(tmp_path)
        with store.writer() as writer:
            writer.tree.add(ROOT)
            writer.tree.add(Entry(b"boot/a", "symlink", target=b"x"))
            writer.tree.link(b"boot/vmlinuz-1", b"boot/a")
            chunks = writer.put_stream(io.BytesIO(b"data").read)
            writer.tree.add(Entry(b"bin/x", "file", mode=0o644, size=4, chunks=chunks))
            writer.tree.link(b"boot/vmlinuz-2", b"bin/x")
            writer.publish("debian")
        files = TreeFiles(store, "debian", ["boot"])
        assert files.names == ["boot/vmlinuz-2"] and files.one("boot/vmlinuz-2") == b"data"
        found = files_below(store.manifest("debian").entries(), ["boot"])
        assert [(name, entry.target) for name, entry in found] == [("boot/vmlinuz-2", b"bin/x")]

    def test_holes_are_zeros_again(self, tmp_path: Path) -> None:
        store = make(tmp_path)
        with store.writer() as writer:
            writer.tree.add(ROOT)
            chunks = writer.put_stream(io.BytesIO(b"abcdef").read)
            extents = ((2, 3), (10, 3))
            writer.tree.add(Entry(b"f", "file", mode=0o644, size=16, extents=extents, chunks=chunks))
            writer.publish("debian")
        files = TreeFiles(store, "debian", [""])
        assert files.names == []  # the root itself holds no file of "/"
        entry = next(e for e in store.manifest("debian").entries() if e.path == b"f")
        from images.netroot.treefiles import _whole

        assert _whole(entry, b"abcdef") == b"\0\0abc" + bytes(5) + b"def" + bytes(3)


DEBIAN = ["boot/vmlinuz-6.1.0-9-amd64", "usr/lib/modules/6.1.0-9-amd64/kernel/fs/x.ko"]


class TestKernel:
    @pytest.mark.parametrize(
        ("names", "version", "image", "folder"),
        [
            (DEBIAN, "6.1.0-9-amd64", DEBIAN[0], "usr/lib/modules/6.1.0-9-amd64"),
            (
                [*DEBIAN, "boot/vmlinuz-6.1.0-10-amd64", "usr/lib/modules/6.1.0-10-amd64/kernel/a.ko.xz"],
                "6.1.0-10-amd64", "boot/vmlinuz-6.1.0-10-amd64", "usr/lib/modules/6.1.0-10-amd64",
            ),
            (
                ["usr/lib/modules/6.17.1-300.fc43.x86_64/vmlinuz",
                 "usr/lib/modules/6.17.1-300.fc43.x86_64/kernel/fs/a.ko.zst", "boot/vmlinuz-0-rescue-1234"],
                "6.17.1-300.fc43.x86_64", "usr/lib/modules/6.17.1-300.fc43.x86_64/vmlinuz",
                "usr/lib/modules/6.17.1-300.fc43.x86_64",
            ),
            (
                ["boot/vmlinuz-5.4.0-1", "lib/modules/5.4.0-1/modules.builtin"],
                "5.4.0-1", "boot/vmlinuz-5.4.0-1", "lib/modules/5.4.0-1",
            ),
        ],
    )  # fmt: skip
    def test_the_newest_with_its_modules(
        self, names: list[str], version: str, image: str, folder: str
    ) -> None:
        assert kernel.find(names) == kernel.Kernel(version, image, folder)

    @pytest.mark.parametrize(
        ("names", "said"),
        [
            ([], "no kernel's modules"),
            (["boot/vmlinuz-6.1"], "no kernel's modules"),
            (["lib/modules/6.1/kernel/a.ko"], "no kernel of theirs"),
            (["boot/vmlinuz-6.2", "lib/modules/6.1/kernel/a.ko"], "no kernel of theirs"),
        ],
    )
    def test_none(self, names: list[str], said: str) -> None:
        with pytest.raises(BadInput, match=said):
            kernel.find(names)

    @pytest.mark.parametrize(
        ("version", "number"), [("6.1.0-9", (6, 1)), ("4.18.0-553.el8", (4, 18)), ("6.12-rc1", (6, 12))]
    )
    def test_its_number(self, version: str, number: tuple[int, int]) -> None:
        assert kernel.Kernel(version, "", "").number == number


class TestModules:
    LISTS = modules.Lists(("fs/overlayfs/**", "drivers/net/**"), ("drivers/net/huge.ko*",), ("overlay",))

    def test_dependencies_come_along(self) -> None:
        names = ["kernel/fs/overlayfs/overlay.ko", "kernel/lib/crc.ko", "kernel/drivers/net/huge.ko",
                 "kernel/drivers/net/a.ko.xz", "kernel/sound/x.ko"]  # fmt: skip
        needs = {"kernel/drivers/net/a.ko.xz": ("kernel/lib/crc.ko",)}
        assert modules.choose(names, needs, self.LISTS) == [names[3], names[0], names[1]]

    @pytest.mark.parametrize(
        ("suffix", "pack"),
        [
            ("", bytes),
            (".xz", lzma.compress),
            (".gz", gzip.compress),
            (".zst", zstandard.ZstdCompressor().compress),
        ],
    )
    def test_any_compression(self, suffix: str, pack: type[bytes]) -> None:
        assert modules.unpack(pack(b"\x7fELF..."), f"a.ko{suffix}") == b"\x7fELF..."
        if suffix:
            with pytest.raises(BadInput, match="cannot be unpacked"):
                modules.unpack(b"damaged", f"a.ko{suffix}")

    def test_its_name(self) -> None:
        assert modules.module_name("kernel/drivers/net/virtio-net.ko.zst") == "virtio_net"
        assert modules.module_name("modules.dep") is None

    def test_a_real_image_is_staged(self, tmp_path: Path) -> None:
        store, folder = make(tmp_path), "usr/lib/modules/6.1.0-9"
        overlay = b"\x7fELF\0firmware=card/one.bin\0firmware=card/none.bin\0"
        tree(
            store,
            {
                "boot/vmlinuz-6.1.0-9": b"kernel",
                f"{folder}/modules.dep": b"kernel/fs/overlayfs/overlay.ko.xz: kernel/lib/crc.ko\n",
                f"{folder}/modules.builtin": b"kernel/fs/ext4/ext4.ko\n",
                f"{folder}/kernel/fs/overlayfs/overlay.ko.xz": lzma.compress(overlay),
                f"{folder}/kernel/lib/crc.ko": b"\x7fELF crc",
                f"{folder}/kernel/sound/noise.ko": b"\x7fELF noise",
                "usr/lib/firmware/card/one.bin": b"firmware",
            },
        )
        files = TreeFiles(store, "debian", kernel.FOLDERS)
        target = tmp_path / "stage"
        target.mkdir()
        has = modules.stage(files, kernel.find(files.names), target)
        assert {"overlay", "crc", "ext4"} <= has and "noise" not in has
        assert (target / folder / "kernel/fs/overlayfs/overlay.ko").read_bytes() == overlay
        assert (target / folder / "modules.dep.bin").exists()
        assert (target / "usr/lib/firmware/card/one.bin").read_bytes() == b"firmware"
        assert not (target / folder / "kernel/sound").exists() and not (target / "lib").exists()


class TestBase:
    def test_what_a_kept_program_needs_is_kept(self, tmp_path: Path) -> None:
        shell, loader = Path("/bin/sh").resolve(), next(Path("/lib/x86_64-linux-gnu").glob("libc.so.6"))
        entries = [
            directory("usr"), directory("usr/bin"), directory("usr/sbin"), directory("usr/lib"),
            *(file(name, shell.read_bytes(), 0o755) for name in base.NEEDED),
            file("usr/bin/lsblk", b"x"), file("usr/lib/libc.so.6", loader.resolve().read_bytes()),
            file("usr/lib/libother.so.1", b"x"),
            file("usr/lib/ld-linux-x86-64.so.2", b"x"),
        ]  # fmt: skip
        initrd = tmp_path / "initrd.img"
        packed = zstandard.ZstdCompressor().compress(b"".join(archive(entries)))
        initrd.write_bytes(packed + bytes(7))
        names = [entry.name for entry in base.lean(initrd)]
        assert "usr/lib/libc.so.6" in names and "usr/bin/busybox" in names
        assert "usr/bin/lsblk" not in names and "usr/lib/libother.so.1" not in names
        assert names.index("usr") < names.index("usr/bin/busybox")

    def test_what_is_missing_is_named_here(self, tmp_path: Path) -> None:
        initrd = tmp_path / "initrd.img"
        initrd.write_bytes(zstandard.ZstdCompressor().compress(b"".join(archive([directory("usr")]))))
        with pytest.raises(BadInput, match="has no /usr/bin/busybox"):
            base.lean(initrd)
        initrd.write_bytes(b"nonsense")
        with pytest.raises(BadInput, match="damaged"):
            base.lean(initrd)

    @pytest.mark.parametrize("raw", [b"", b"070701", b"070701" + b"zz" * 60, b"x" * 200])
    def test_any_bytes_are_an_archive_or_refused(self, raw: bytes) -> None:
        with pytest.raises(BadInput):
            list(base.read(raw))


class TestInitramfs:
    def pack(self, tmp_path: Path, version: str) -> bytes:
        (tmp_path / "m/usr/lib/modules").mkdir(parents=True, exist_ok=True)
        (tmp_path / "m/usr/lib/modules/a.ko").write_bytes(b"module")
        entries = [directory("usr"), directory("usr/lib"), file("usr/lib/x", b"old")]
        own = {"usr/lib/x": b"new", "etc/bootsrv/boot.pub": PUBLIC}
        return initramfs.pack(entries, tmp_path / "m", own, kernel.Kernel(version, "", ""))

    @pytest.mark.parametrize("version", ["6.1.0-9", "4.18.0-553.el8"])
    def test_its_kernel_can_unpack_it(self, tmp_path: Path, version: str) -> None:
        packed = self.pack(tmp_path, version)
        if version.startswith("4."):
            raw = gzip.decompress(packed)
        else:
            raw = zstandard.ZstdDecompressor().decompressobj().decompress(packed)
        found = {entry.name: entry for entry in base.read(raw)}
        assert found["init"].mode == 0o100755 and found["init"].data.startswith(b"#!/usr/bin/busybox sh")
        assert found["usr/lib/modules/a.ko"].data == b"module" and found["usr/lib/x"].data == b"new"
        assert "newroot" in found and found["etc/bootsrv/boot.pub"].data == PUBLIC
        assert self.pack(tmp_path, version) == packed

    def test_the_agent_is_whole(self, tmp_path: Path) -> None:
        """Its modules import each other without anything of ours around them."""
        for name, data in initramfs.own_files(bytes(32), PUBLIC).items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(data)
        command = [sys.executable, "-I", "-S", "-c",
                   "import sys; sys.path.insert(0, sys.argv[1]); import images.agent.netroot.__main__",
                   str(tmp_path / initramfs.HOME)]  # fmt: skip
        subprocess.run(command, check=True, cwd=tmp_path)


class TestBlocks:
    DATA = noise(2_500_000, 7)

    def listed(self) -> bytes:
        return blocks.write(io.BytesIO(self.DATA), len(self.DATA), "a" * 64, PRIVATE)

    def test_each_block_is_known(self) -> None:
        found = blocks.read(self.listed(), PUBLIC, "a" * 64)
        for number in range(3):
            found.check(number, self.DATA[number << 20 : (number + 1) << 20])
        damaged = bytearray(self.DATA[: 1 << 20])
        damaged[77] ^= 1
        with pytest.raises(ChunkCorrupt, match="block 0"):
            found.check(0, bytes(damaged))
        with pytest.raises(ChunkCorrupt, match="block 2"):
            found.check(2, self.DATA[2 << 20 :][:-1])
        with pytest.raises(ChunkCorrupt, match="block 1"):
            found.check(1, self.DATA[: 1 << 20])

    def test_another_servers_or_another_roots_list_is_refused(self) -> None:
        with pytest.raises(SignatureInvalid):
            blocks.read(self.listed(), signature.public_key(bytes(32)), "a" * 64)
        with pytest.raises(BadInput, match="not of"):
            blocks.read(self.listed(), PUBLIC, "b" * 64)
        for at in (80, len(self.listed()) - 1):
            damaged = bytearray(self.listed())
            damaged[at] ^= 1
            with pytest.raises(SignatureInvalid):
                blocks.read(bytes(damaged), PUBLIC, "a" * 64)
        for cut in (b"", b"BSROOT1\n", self.listed()[:70]):
            with pytest.raises((BadInput, SignatureInvalid)):
                blocks.read(cut, PUBLIC, "a" * 64)

    def test_a_list_that_is_too_short_is_no_list(self) -> None:
        short = blocks.write(io.BytesIO(self.DATA[: 1 << 20]), len(self.DATA), "a" * 64, PRIVATE)
        with pytest.raises(BadInput, match="length"):
            blocks.read(short, PUBLIC, "a" * 64)


class TestSealed:
    def test_for_one_boot(self) -> None:
        answer = sealed.seal({"kind": "ram"}, sealed.holder("token"), PRIVATE)
        assert sealed.opened(answer, "token", PUBLIC) == {"kind": "ram"}
        for wrong in ({**answer, "signed": '{"kind":"nbd"}'}, {**answer, "signature": "00" * 64}):
            with pytest.raises(SignatureInvalid):
                sealed.opened(wrong, "token", PUBLIC)
        with pytest.raises(SignatureInvalid):
            sealed.opened(answer, "another boot's", PUBLIC)
        for odd in ({}, {"signed": 1}, {**answer, "signature": "xyz"}):
            with pytest.raises(BadInput):
                sealed.opened(odd, "token", PUBLIC)

    @pytest.mark.parametrize("text", ["", "[1]", '{"a":', "[" * 5000])
    def test_what_is_signed_and_damaged_is_said_to_be(self, text: str) -> None:
        signed = signature.sign(PRIVATE, sealed.digest(text, sealed.holder("token"))).hex()
        with pytest.raises(BadInput):
            sealed.opened({"signed": text, "signature": signed}, "token", PUBLIC)


@pytest.mark.parametrize("live", [True, False])
def test_what_a_boot_did_is_told_before_its_card_goes_down(monkeypatch, live):
    done = []

    class Heard:
        def event(self, kind, *_, **__):
            done.append(kind)

        def flush(self, timeout):
            done.append("flush")

    class Quiet:
        def status(self, *_):
            pass

    boot = netroot_main.Boot({"url": "http://10.0.0.1:8080"}, Quiet())
    boot.reporter, boot.card = Heard(), "eth7"
    monkeypatch.setattr(netroot_main.subprocess, "run", lambda words, **_: done.append(" ".join(words[1:])))
    boot._leave({"image": {"ref": "debian@1"}}, live)
    down = [] if live else ["killall udhcpc", "ip addr flush dev eth7", "ip link set dev eth7 down"]
    assert done == ["root.done", "flush", *down]


def test_what_the_kernel_is_told_of_an_nfs_server() -> None:
    row = {"host": "10.77.0.1", "port": 2049, "mount_port": 20048, "versions": ["4.2", "3"], "path": "/r"}
    place = nfs.place_of(row)
    assert nfs.options(place, "10.77.0.11", "4.2", steady=True) == (
        "vers=4.2,proto=tcp,hard,timeo=600,retrans=2,addr=10.77.0.1,port=2049,clientaddr=10.77.0.11,"
        "nocto,actimeo=600"
    )
    assert nfs.options(place, "10.77.0.11", "3", steady=False).endswith("mountaddr=10.77.0.1,mountport=20048")
    asked = nfs.place_of({**row, "mount_port": 0})
    assert nfs.options(asked, "10.77.0.11", "3", steady=False).endswith("mountaddr=10.77.0.1")
