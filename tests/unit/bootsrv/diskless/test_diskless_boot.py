"""A diskless boot on the server's side: what is handed to whom, and what it is told when it cannot be."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bootsrv import lifecycle, overlays, scripts
from bootsrv.appliance.appliance import Appliance
from bootsrv.appliance.nodes import Wanted
from bootsrv.config import Config
from bootsrv.diskless import bootkey, netroots
from bootsrv.diskless.handout import Handout
from bootsrv.diskless.shares import Shares
from bootsrv.diskless.task import RootTasks
from bootsrv.errors import BootsrvError
from bootsrv.model import Node, Root, RootKind
from bootsrv.nodeapi import NodeApi
from bootsrv.peers import Peers
from bootsrv.registry.registry import Registry
from bootsrv.site import HouseSite
from images.agent import sealed
from images.netroot import prepare
from pxe.catalogue import Catalogue
from pxe.http.ports import Denied, NodeRequest, Reply
from tests.unit.bootsrv.conftest import Clock, FakeImages

MAC, PEER = "52:54:00:00:00:01", "10.77.0.11"


class Images(FakeImages):
    """With a store that has a key."""

    def store(self) -> Images:
        return self

    def public_key(self) -> bytes:
        return bytes(32)


class House:
    """A site whose neighbours are known, with a node that boots diskless."""

    def __init__(self, config: Config, registry: Registry, clock: Clock, tmp_path: Path) -> None:
        (tmp_path / "arp").write_text(f"IP address\n{PEER} 0x1 0x2 {MAC} * br0\n")
        imager = config.payload_dir / "imager"
        imager.mkdir(parents=True)
        (imager / "manifest.json").write_text("{}")
        self.config, self.registry = config, registry
        self.images: Any = Images()
        self.peers = Peers(registry, tmp_path / "arp", clock)
        self.site = HouseSite(config, registry, self.images, Catalogue({}), self.peers, clock)
        self.shares = Shares(registry, self.peers, clock)
        self.handout = Handout(config, self.shares, self.images)
        self.netroots = netroots.Netroots(config, registry, lambda: bytes(32))

    def script(self) -> str:
        found = self.site.boot_script(MAC, {"server": "10.77.0.1"}, PEER)
        assert isinstance(found, str)
        return found

    def prepared(self, has: tuple[str, ...] = ("overlay", "squashfs", "loop", "nbd", "erofs")) -> Path:
        home = netroots.home(self.config, "2" * 64)
        home.mkdir(parents=True)
        made = {"inputs": self.netroots.inputs(), "kernel": "6.1.0-9", "has": list(has)}
        (home / prepare.READY).write_text(json.dumps(made))
        for name in (prepare.KERNEL, prepare.INITRD, prepare.SQUASHFS, prepare.BLOCKS):
            (home / name).write_bytes(name.encode())
        return home


@pytest.fixture
def boots(config: Config, registry: Registry, clock: Clock, tmp_path: Path) -> House:
    return House(config, registry, clock, tmp_path)


def node(house: Appliance, **given: Any) -> Node:
    wanted = {"name": "n1", "macs": [MAC], "address": PEER, "image": "debian", "mode": "diskless"}
    return house.nodes.add(Wanted(**{**wanted, **given}))


class TestScript:
    def test_names_its_kernel_and_says_what_is_in_use(self, house: Appliance, boots: House) -> None:
        node(house, root="nbd")
        boots.prepared()
        script = boots.script()
        assert f"kernel http://10.77.0.1:8080/boot/{scripts.ROOT_KERNEL} bootsrv.url=" in script
        assert "initrd=initrd.img" in script and f"bootsrv.mac={MAC}" in script
        found = house.nodes.show("n1")
        assert found.rooted is not None
        assert (found.rooted.image, found.rooted.root) == ("debian@2", Root(RootKind.NBD))
        assert [e.kind for e in house.watch.events()][-1] == "boot.diskless"

    def test_something_else_lets_go_of_it(self, house: Appliance, boots: House) -> None:
        node(house)
        boots.prepared()
        boots.script()
        house.roots.leave([house.nodes.show("n1")])
        assert "sanboot" in boots.script()
        assert house.nodes.show("n1").rooted is None

    def test_it_waits_while_that_is_made(self, house: Appliance, boots: House) -> None:
        node(house)
        assert "debian@2 is not prepared yet" in boots.script() and "sleep 3" in boots.script()
        home = netroots.home(boots.config, "2" * 64)
        home.mkdir(parents=True)
        (home / netroots.STATE).write_text('{"step": "squashfs", "percent": 40}')
        assert "is being prepared: squashfs 40 %" in boots.script()
        assert house.nodes.show("n1").rooted is None and house.nodes.show("n1").error is None

    @pytest.mark.parametrize("broken", ["state", "kernel"])
    def test_what_will_not_work_is_on_its_page(self, house: Appliance, boots: House, broken: str) -> None:
        node(house, root="nbd")
        if broken == "kernel":
            boots.prepared(has=("overlay", "nbd"))
            reason = "the kernel 6.1.0-9 of debian@2 has no erofs: a root by nbd needs it"
        else:
            home = netroots.home(boots.config, "2" * 64)
            home.mkdir(parents=True)
            (home / netroots.STATE).write_text('{"error": "there are no kernel\'s modules in it"}')
            reason = "debian@2: there are no kernel's modules in it"
        assert reason in boots.script()
        assert house.nodes.show("n1").error == reason

    def test_a_machine_of_another_kind_is_told_so(self, house: Appliance, boots: House) -> None:
        node(house)
        boots.prepared()
        said = boots.site.boot_script(MAC, {"server": "10.77.0.1", "arch": "11"}, PEER)
        assert isinstance(said, str) and "roots are for x86 machines" in said
        assert house.nodes.show("n1").rooted is None

    def test_its_own_console_counts(self, house: Appliance, boots: House) -> None:
        node(house)
        boots.prepared()
        assert "console=ttyS0" in boots.script()
        boots.images.versions = (replace(FakeImages.versions[1], meta={"kernel_args": "console=hvc0 quiet"}),)
        assert "console=hvc0 quiet" in boots.script() and "console=ttyS0" not in boots.script()


class TestWhoGetsWhat:
    def test_files_by_address(self, house: Appliance, boots: House) -> None:
        node(house)
        home = boots.prepared()
        assert boots.handout.find(scripts.ROOT_KERNEL, PEER) is None, "not before its script"
        boots.script()
        assert boots.handout.find(scripts.ROOT_KERNEL, PEER) == home / "vmlinuz"
        assert boots.handout.find(scripts.ROOT_INITRD, PEER) == home / "initrd.img"
        assert boots.handout.find(scripts.ROOT_KERNEL, "10.77.0.12") is None
        assert boots.handout.find("root/../vmlinuz", PEER) is None

    def test_the_root_in_memory_by_token(self, house: Appliance, boots: House) -> None:
        node(house)
        home = boots.prepared()
        token = boots.script().partition("bootsrv.token=")[2].split()[0]
        assert boots.site.store("roots", f"{'2' * 64}.squashfs", token) == home / "root.squashfs"
        assert boots.site.store("roots", f"{'2' * 64}.blocks", token) == home / "root.blocks"
        for id in (f"{'1' * 64}.squashfs", "2" * 64, "ready.json"):
            assert isinstance(boots.site.store("roots", id, token), Denied)
        assert isinstance(boots.site.store("roots", f"{'2' * 64}.squashfs", "other"), Denied)
        assert isinstance(boots.site.store("manifests", "2" * 64, token), Denied)
        house.nodes.set("n1", Wanted(root="nbd"))
        token = boots.script().partition("bootsrv.token=")[2].split()[0]
        assert isinstance(boots.site.store("roots", f"{'2' * 64}.squashfs", token), Denied)


class TestTask:
    def ask(self, house: Appliance, boots: House, clock: Clock, **given: Any) -> tuple[Reply, str]:
        node(house, **given)
        boots.prepared()
        token = boots.script().partition("bootsrv.token=")[2].split()[0]
        api = NodeApi(boots.config, boots.registry, boots.images, clock)
        reply = api.handle(NodeRequest("GET", "root", {}, {}, b"", PEER, token))
        assert isinstance(reply, Reply)
        return reply, token

    def test_all_that_it_needs(self, house: Appliance, boots: House, clock: Clock) -> None:
        reply, token = self.ask(house, boots, clock, root="nbd", write_limit="64M")
        task = sealed.opened(json.loads(reply.body), token, bootkey.public(boots.registry))
        assert task["image"] == {"ref": "debian@2", "manifest": "2" * 64}
        assert task["root"] == {"kind": "nbd", "writes": "discard", "paths": [], "limit": 64 << 20}
        assert (task["nbd"]["host"], task["nbd"]["export"]) == ("10.77.0.1", "debian@2")
        assert task["nbd"]["keep"] == "debian@2/keep"
        assert task["node"]["name"] == "n1" and task["callback"]["url"].endswith("/node/v1/home")
        assert boots.registry.upkeep.host_keys(house.nodes.show("n1").id) == (
            " ".join(task["ssh_host_keys"]["ssh_host_ed25519_key.pub"].split()[:2]),
        )

    def test_a_template_that_does_not_fit_is_waited_out(
        self, house: Appliance, boots: House, clock: Clock
    ) -> None:
        folder = boots.config.data_dir / "overlays/all/etc"
        folder.mkdir(parents=True)
        (folder / "motd.j2").write_text("{{ nmae }}")
        reply, token = self.ask(house, boots, clock)
        assert "motd.j2: 'nmae' is undefined" in json.loads(reply.body)["wait"]
        api = NodeApi(boots.config, boots.registry, boots.images, clock)
        api.handle(NodeRequest("GET", "root", {}, {}, b"", PEER, token))
        assert "motd.j2: 'nmae' is undefined" in (house.nodes.show("n1").error or "")
        assert [e.kind for e in house.watch.events()].count("root.failed") == 1, "told once"

    def test_a_mode_is_octal_whatever_it_is(self, house: Appliance, boots: House, clock: Clock) -> None:
        """As Fedora's /etc/shadow has it: the agent takes no "0"."""
        path = boots.config.data_dir / "overlays/all/etc/shadow"
        path.parent.mkdir(parents=True)
        path.write_text("root:*:::::::")
        path.chmod(0)
        if os.geteuid() != 0:
            path.chmod(0o400)
        reply, token = self.ask(house, boots, clock)
        task = sealed.opened(json.loads(reply.body), token, bootkey.public(boots.registry))
        assert task["files"][0]["mode"] == ("0000" if os.geteuid() == 0 else "0400")

    def test_not_for_who_boots_something_else(self, house: Appliance, boots: House, clock: Clock) -> None:
        token = boots.registry.tokens.issue("boot", MAC, clock(), 60.0, {})
        node(house)
        api = NodeApi(boots.config, boots.registry, boots.images, clock)
        reply = api.handle(NodeRequest("GET", "root", {}, {}, b"", PEER, token))
        assert isinstance(reply, Reply) and reply.status == 403

    def test_nfs_needs_an_exporter(self, house: Appliance, boots: House, clock: Clock) -> None:
        found = node(house)
        found = lifecycle.rooted(found, "debian@2", Root(RootKind.NFS), 1.0)
        tasks = RootTasks(boots.config, boots.registry, boots.images, None, clock)
        token = boots.registry.tokens.issue("boot", MAC, clock(), 60.0, {"url": "http://10.77.0.1:8080"})
        held = boots.registry.tokens.check(token, clock())
        assert held is not None
        assert "nothing over NFS" in json.loads(tasks.answer(found, held, token).body)["wait"]


class TestKeys:
    def test_openssh_reads_them(self, house: Appliance, registry: Registry, tmp_path: Path) -> None:
        found = node(house)
        files = bootkey.host_key(registry, found)
        key = tmp_path / "ssh_host_ed25519_key"
        key.write_text(files[key.name])
        key.chmod(0o600)
        command = ["ssh-keygen", "-y", "-f", str(key)]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert said.split()[:2] == files[f"{key.name}.pub"].split()[:2]
        assert said.startswith(bootkey.known_host(registry, found))

    def test_each_node_has_its_own_for_ever(self, house: Appliance, registry: Registry) -> None:
        first = node(house)
        second = house.nodes.add(Wanted(name="n2"))
        assert bootkey.host_key(registry, first) != bootkey.host_key(registry, second)
        assert bootkey.host_key(registry, first) == bootkey.host_key(registry, replace(first, image="x"))
        ids = {bootkey.machine_id(registry, one) for one in (first, second)}
        assert len(ids) == 2 and all(len(one) == 32 and one[12] == "4" for one in ids)


class TestOverlays:
    def put(self, config: Config, place: str, text: str, mode: int = 0o644) -> None:
        path = config.data_dir / "overlays" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)

    def made(self, config: Config, **known: Any) -> dict[str, tuple[str, int]]:
        found = Node(1, "n1", (MAC,), groups=("gpu", "rack3"), state=None)  # type: ignore[arg-type]
        files = overlays.files(config, found, known)
        return {file.path: (file.data.decode(), file.mode) for file in files}

    def test_the_nearest_counts(self, config: Config) -> None:
        self.put(config, "all/etc/motd", "all")
        self.put(config, "all/etc/issue", "issue {{ name }}")
        self.put(config, "groups/gpu/etc/motd", "gpu")
        self.put(config, "groups/rack3/etc/motd.j2", "{{ name }} of rack3\n", 0o600)
        self.put(config, "groups/other/etc/motd", "other")
        assert self.made(config, name="n1") == {
            "/etc/issue": ("issue {{ name }}", 0o644), "/etc/motd": ("n1 of rack3\n", 0o600),
        }  # fmt: skip
        self.put(config, "nodes/n1/etc/motd", "mine", 0o755)
        assert self.made(config, name="n1")["/etc/motd"] == ("mine", 0o755)

    @pytest.mark.parametrize("text", ["{{ nmae }}", "{% if %}", "{{ name.__class__.__mro__ }}"])
    def test_a_bad_template_is_named(self, config: Config, text: str) -> None:
        self.put(config, "all/etc/motd.j2", text)
        with pytest.raises(BootsrvError, match=r"motd\.j2"):
            self.made(config, name="n1")

    @pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
    @pytest.mark.parametrize("closed", ["etc/krb5.keytab", "etc"])
    def test_what_the_service_may_not_read_is_no_absent_file(self, config: Config, closed: str) -> None:
        self.put(config, "nodes/n1/etc/krb5.keytab", "secret", 0o600)
        place = config.data_dir / "overlays/nodes/n1" / closed
        place.chmod(0o700 if place.is_dir() else 0o600)
        config.data_dir.chmod(0o755)
        program = (
            "import os, sys; from pathlib import Path; from types import SimpleNamespace as N\n"
            "from bootsrv import overlays\n"
            "os.chdir(sys.argv[1]); os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
            "try: overlays.files(N(data_dir=Path('.')), N(groups=(), name='n1'), {})\n"
            "except overlays.OverlayError as error: print(error)\n"
        )
        said = subprocess.run(
            [sys.executable, "-c", program, str(config.data_dir)], capture_output=True, text=True, check=True
        ).stdout
        path = f"overlays/nodes/n1/{closed}"
        assert said == f"{path} is not readable for the service: chown nobody {path}\n"

    def test_links_lead_nowhere(self, config: Config, tmp_path: Path) -> None:
        self.put(config, "all/etc/motd", "all")
        secret = tmp_path / "secret"
        secret.write_text("x")
        (config.data_dir / "overlays/all/etc/link").symlink_to(secret)
        (config.data_dir / "overlays/all/dir").symlink_to(tmp_path)
        assert list(self.made(config)) == ["/etc/motd"]
