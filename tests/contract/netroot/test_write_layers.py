"""Write layers on the real kernel, in mount namespaces that vanish with their processes."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from bootsrv.payload import imager_dir
from images.imager.cpio import archive
from images.netroot import base, initramfs

pytestmark = [pytest.mark.netns, pytest.mark.timeout(120)]
REPOSITORY = Path(__file__).parents[3]
START = """
import json, subprocess, sys
from pathlib import Path
from images.agent.netroot import layers, mounts, personal
from images.agent.rootfs import Root
home = Path(sys.argv[1])
lower, target = home / "lower", home / "newroot"
target.mkdir()
layers.LOWER, layers.MEMORY, layers.KEPT = lower, home / "memory", home / "kept"
"""


def inside(tmp_path: Path, body: str) -> str:
    """Runs it as root in its own mount namespace; what it printed."""
    script = START + textwrap.dedent(body)
    command = ["unshare", "--mount", sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small system as lower part."""
    lower = tmp_path / "lower"
    for name, text in (
        ("etc/hostname", "golden\n"), ("etc/hosts", "127.0.0.1 localhost\n"),
        ("etc/fstab", "UUID=1 / ext4\n"),
        ("home/user/old", "from the image"), ("usr/lib/systemd/systemd", ""), ("etc/ssh/sshd_config", ""),
        ("etc/ssh/ssh_host_rsa_key", "golden"),
    ):  # fmt: skip
        (lower / name).parent.mkdir(parents=True, exist_ok=True)
        (lower / name).write_text(text)
    (lower / "home").chmod(0o751)
    return tmp_path


class TestInMemory:
    def test_nothing_reaches_the_image_and_there_is_a_limit(self, tree: Path) -> None:
        said = inside(
            tree,
            """
            layers.in_memory(target, 1 << 20)
            (target / "etc/hostname").write_text("n1")
            try:
                (target / "large").write_bytes(bytes(2 << 20))
            except OSError as error:
                print(error.strerror)
            (target / "large").unlink()
            (target / "after").write_text("it lives")
            print((target / "after").read_text(), (lower / "etc/hostname").read_text().strip())
            """,
        )
        assert said.splitlines() == ["No space left on device", "it lives golden"]


class TestCompressed:
    def test_it_takes_less_than_was_written_and_there_is_a_limit(self, tree: Path) -> None:
        """On this machine's own zram."""
        said = inside(
            tree,
            """
            from images.agent.netroot import zram
            device = layers.compressed(target, 32 << 20)
            try:
                (target / "etc/hostname").write_text("n1")
                (target / "text").write_bytes(b"".join(b"%d " % n for n in range(1500000)))
                try:
                    (target / "large").write_bytes(bytes(64 << 20))
                except OSError as error:
                    print(error.strerror)
                (target / "large").unlink()
                (target / "after").write_text("it lives")
                subprocess.run(["sync", "-f", str(layers.MEMORY)])
                stat = (zram.BLOCK / device[5:] / "mm_stat").read_text().split()
                print(int(stat[0]) > 9 << 20, int(stat[2]) < int(stat[0]) * 0.6)
                print((target / "after").read_text(), (lower / "etc/hostname").read_text().strip())
            finally:
                mounts.unmount(target)
                mounts.unmount(layers.MEMORY)
                zram.remove(device)
            print((zram.BLOCK / device[5:]).exists())
            """,
        )
        assert said.splitlines() == ["No space left on device", "True True", "it lives golden", "False"]

    def test_a_kernel_without_it(self, tree: Path) -> None:
        said = inside(
            tree,
            """
            from images.agent.netroot import zram
            zram.CONTROL = home / "none"
            print(layers.compressed(target, 32 << 20), list(target.iterdir()))
            """,
        )
        assert said == "None []"


class TestKept:
    BODY = """
        file, room = layers.file_on(home, 64 << 20)
        device = mounts.loop(file, read_only=False)
        layers.open_kept(device, room)
        {}
        for place in {}:
            mounts.unmount(place)
        mounts.unmount(layers.KEPT)
        mounts.let_go(device)
    """

    def test_paths_stay_and_the_rest_goes(self, tree: Path) -> None:
        code = """
        layers.in_memory(target, None)
        layers.kept_paths(target, ["/home", "/var/lib/slurm"])
        print(sorted(p.name for p in target.glob("home/user/*")), (target / "etc/x").exists(),
              (target / "var/lib/slurm/y").exists(), oct((target / "home").stat().st_mode))
        for name in ("home/user/new", "etc/x", "var/lib/slurm/y"):
            (target / name).write_text("written")
        """
        places = '(target / "var/lib/slurm", target / "home", target, layers.MEMORY)'
        body = self.BODY.format(textwrap.dedent(code).replace("\n", "\n" + " " * 8), places)
        assert inside(tree, body) == "['old'] False False 0o40751"
        (tree / "newroot").rmdir()
        assert inside(tree, body) == "['new', 'old'] False True 0o40751"

    def test_all_stays_for_each_version(self, tree: Path) -> None:
        code = """
        layers.kept_whole(target, "{}")
        print((target / "etc/hostname").read_text().strip())
        (target / "etc/hostname").write_text("written")
        """
        for version, said in (("one", "golden"), ("one", "written"), ("two", "golden")):
            filled = textwrap.dedent(code.format(version)).replace("\n", "\n" + " " * 8)
            assert inside(tree, self.BODY.format(filled, "(target,)")) == said
            (tree / "newroot").rmdir()

    def test_it_grows_with_its_limit(self, tree: Path) -> None:
        said = inside(
            tree,
            """
            for size in (32 << 20, 64 << 20, 32 << 20):
                file, room = layers.file_on(home, size)
                device = mounts.loop(file, read_only=False)
                layers.open_kept(device, room)
                print(round(layers.ext4_size(device) / (1 << 20)))
                mounts.unmount(layers.KEPT)
                mounts.let_go(device)
            """,
        )
        assert said.split() == ["31", "63", "63"]


def test_a_node_becomes_itself_and_again(tree: Path) -> None:
    node = {
        "name": "n1", "domain": "cluster.test", "address_method": "reserved", "mac": "52:54:00:00:00:01",
        "address": "10.77.0.11/24", "dns": [], "hosts": [["10.77.0.12", "n2"]],
        "ssh_authorized_keys": ["ssh-ed25519 AAAA admin"],
    }  # fmt: skip
    task = {
        "node": node, "machine_id": "0123456789ab4def8123456789abcdef",
        "ssh_host_keys": {"ssh_host_ed25519_key": "private", "ssh_host_ed25519_key.pub": "public"},
        "files": [{"path": "/etc/motd", "mode": "600", "data": "aGVsbG8="}],
        "callback": {"url": "http://10.77.0.1:8080/node/v1/home", "token": "t"}, "image": {"ref": "debian@1"},
    }  # fmt: skip
    said = inside(
        tree,
        f"""
        task = json.loads({json.dumps(json.dumps(task))})
        layers.in_memory(target, None)
        root = Root(target)
        personal.whole(root, task, live=True)
        print(json.dumps(personal.again(root, task)))
        task["node"]["hosts"].append(["10.77.0.13", "n3"])
        task["files"] = [{{"path": "/etc/motd", "mode": "600", "data": "YnllLg=="}}]
        print(json.dumps(personal.again(root, task)))
        task["files"][0]["mode"] = "0755"
        print(json.dumps(personal.again(root, task)))
        read = lambda name: (target / name).read_text()
        print(json.dumps([read("etc/hostname"), read("etc/machine-id").strip(), read("etc/motd"),
                          "n3" in read("etc/hosts"), "UUID" in read("etc/fstab"),
                          oct((target / "etc/ssh/ssh_host_ed25519_key").stat().st_mode),
                          oct((target / "etc/motd").stat().st_mode),
                          (target / "etc/ssh/ssh_host_rsa_key").exists(),
                          "NamePolicy=keep" in read("etc/systemd/network/04-bootsrv.link")]))
        """,
    )
    first, second, third, files = map(json.loads, said.splitlines())
    assert (first, second, third) == ([], ["/etc/hosts", "/etc/motd"], ["/etc/motd"])
    assert files == [
        "n1\n", task["machine_id"], "bye.", True, False, "0o100600", "0o100755", False, True
    ]  # fmt: skip


def test_the_lean_base_runs(tmp_path: Path) -> None:
    """Out of the imager that setup made: its programs start, and the agent imports, in a chroot."""
    from tests.unit.bootsrv.conftest import make_config

    config = make_config(tmp_path, payload_dir=str(Path(sys.prefix) / "share/bootsrv"))
    raw = b"".join(archive(base.lean(imager_dir(config) / "initrd.img")))
    root = tmp_path / "root"
    root.mkdir()
    subprocess.run(["cpio", "-idm", "--quiet"], input=raw, cwd=root, check=True)
    for name, data in initramfs.own_files(bytes(32), bytes(32)).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    python = [
        "python3", "-S", "-s", "-B", "-c",
        "import sys; sys.path.insert(0, '/usr/lib/bootsrv/agent'); import images.agent.netroot.__main__;"
        "from images import signature; import encodings.idna, traceback, images.agent.finish;"
        "print(len(signature.public_key(bytes(32))))",
    ]  # fmt: skip
    for command in (["busybox", "true"], ["modprobe", "-V"], ["mke2fs", "-V"], ["e2fsck", "-V"], python):
        done = subprocess.run(["chroot", str(root), *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command[0]}: {done.stderr[-500:]}"
    for applet in ("switch_root", "mount", "udhcpc", "killall", "ip"):
        done = subprocess.run(["chroot", str(root), "busybox", "--list"], capture_output=True, text=True)
        assert applet in done.stdout.split()
