"""Images as the verbs see them, over a real store: damage in one hurts no other, and what cannot boot is not
armed."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from imagestore import noise, publish

from bootsrv.appliance.appliance import Appliance
from bootsrv.appliance.nodes import Wanted
from bootsrv.cli.main import cli
from bootsrv.config import Config
from bootsrv.errors import BootsrvError, Invalid
from bootsrv.model import BootMode, NodeState
from bootsrv.registry.registry import Registry


@pytest.fixture
def verbs(config: Config, registry: Registry) -> Appliance:
    appliance = Appliance(config, registry)
    store = appliance.images.store()
    publish(store, "good", {"boot/vmlinuz-6.1.0": b"kernel", "etc/hostname": b"x"})
    publish(store, "container", {"boot/grub/vmlinuz": b"", "etc/hostname": b"y"})
    config.path.write_text(f'data_dir = "{config.data_dir}"\n')
    return appliance


def run(config: Config, *words: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(cli, ["--config", str(config.path), "image", *words])
    error = str(done.exception) if isinstance(done.exception, BootsrvError) else ""
    return done.exit_code, done.stdout, error


def damage(config: Config) -> Path:
    book = config.store_dir / "names" / "good.book"
    book.write_bytes(book.read_bytes().replace(b"good", b"goof"))
    return book


def damage_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 0xFF
    path.chmod(0o640)
    path.write_bytes(data)


def test_what_has_no_kernel_is_not_armed(verbs: Appliance) -> None:
    with pytest.raises(Invalid, match="container@1 has no kernel in /boot, so no disk can boot it"):
        verbs.nodes.add(Wanted(name="n1", image="container"))
    node = verbs.nodes.add(Wanted(name="n1", image="container"), arm=False)
    with pytest.raises(Invalid, match="no kernel"):
        verbs.deploys.reimage([node])
    assert verbs.nodes.show("n1").state is NodeState.REGISTERED
    verbs.deploys.reimage([node], "good")
    assert verbs.nodes.show("n1").state is NodeState.ARMED


def test_a_root_over_the_network_needs_a_kernel_with_its_modules(verbs: Appliance) -> None:
    """Fedora and its kin have the kernel beside its modules, and it need not lie in /boot too."""
    said = "image good@1: no machine can boot it diskless: there are no kernel's modules in it"
    with pytest.raises(Invalid, match=said):
        verbs.nodes.add(Wanted(name="n1", image="good", mode=BootMode.DISKLESS))
    folder = "usr/lib/modules/6.17.1-300.fc43.x86_64"
    publish(verbs.images.store(), "fedora", {f"{folder}/vmlinuz": b"x", f"{folder}/modules.builtin": b"y"})
    node = verbs.nodes.add(Wanted(name="n1", image="fedora", mode=BootMode.DISKLESS))
    with pytest.raises(Invalid, match="fedora@1 has no kernel in /boot, so no disk can boot it"):
        verbs.deploys.reimage([node])
    with pytest.raises(Invalid, match=said):
        verbs.roots.move([node], "good", Wanted())


def test_a_group_is_not_made_diskless_with_an_image_that_cannot_be_a_root(verbs: Appliance) -> None:
    node = verbs.nodes.add(Wanted(name="n1", image="good", groups=["rack3"]))
    with pytest.raises(Invalid, match="image good@1: no machine can boot it diskless"):
        verbs.groups.set_boot("rack3", BootMode.DISKLESS, Wanted())
    assert verbs.nodes.show("n1") == node and verbs.groups.list()[0].boot.mode is None


def test_no_manifest_is_read_while_the_registry_is_locked(
    verbs: Appliance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 200,000 names it takes seconds, and a lease that is granted meanwhile waits."""
    folder = "usr/lib/modules/6.1.0"
    files = {f"{folder}/vmlinuz": b"x", f"{folder}/modules.builtin": b"y", "boot/vmlinuz-6.1.0": b"z"}
    store, read = verbs.images.store(), []

    def manifest(id: str, of: Any = store.manifest) -> Any:
        read.append(id)
        with closing(sqlite3.connect(verbs.config.registry_file, timeout=0)) as other:
            other.execute("BEGIN IMMEDIATE")  # raises where it is locked
        return of(id)

    monkeypatch.setattr(store, "manifest", manifest)
    for name in ("a", "b", "c", "d", "e"):
        publish(store, name, {**files, "etc/hostname": name.encode()})
    verbs.nodes.add(Wanted(name="n1", image="a", mode=BootMode.DISKLESS))
    verbs.nodes.set("n1", Wanted(image="b"))
    verbs.nodes.add(Wanted(name="n2", image="c", groups=["rack3"]), arm=False)
    verbs.groups.set_boot("rack3", BootMode.DISKLESS, Wanted())
    verbs.nodes.add_range("m", "1", "2", wanted=Wanted(image="d", groups=["rack3"]))
    verbs.roots.move([verbs.nodes.show("n1")], "e", Wanted())
    assert len(read) == len(set(read)) == len("abcde")


def test_a_damaged_list_hides_no_other_image(verbs: Appliance, config: Config) -> None:
    book = damage(config)
    code, out, error = run(config, "list", "--json")
    assert (code, [row["ref"] for row in json.loads(out)]) == (1, ["container@1"])
    assert f"{book} is damaged; `bootsrv image verify --repair` rebuilds it" in error


def test_what_was_mended_is_no_failure(verbs: Appliance, config: Config) -> None:
    damage(config)
    assert run(config, "verify")[0] == 1
    code, out, _ = run(config, "verify", "--repair")
    assert (code, out.splitlines()[-1]) == (0, "all of it is mended")
    assert run(config, "verify")[0] == 0
    assert run(config, "list")[0] == 0


def test_what_could_not_be_mended_is_one(verbs: Appliance, config: Config) -> None:
    for pack in (config.store_dir / "packs").iterdir():
        damage_byte(pack)
    code, out, _ = run(config, "verify", "--repair")
    assert code == 1
    last = out.splitlines()[-1]
    assert re.fullmatch(
        r"\d+ found, 2 mended; \d+ problems are left: do what is said above, then run `bootsrv image verify`",
        last,
    )


def test_every_damage_is_told_with_what_became_of_it(verbs: Appliance, config: Config) -> None:
    store = verbs.images.store()
    for seed, name in enumerate(("flipped", "nowhere")):
        publish(store, name, {"etc/x": noise(9_000, seed)})
    store.tag("container", "stable")
    packs = store.source("flipped").locator.packs
    damage_byte(store.packs / f"{packs[0]}.pack")
    (store.locators / store.resolve("nowhere").id).unlink()
    (store.manifests / store.resolve("container@stable").id).unlink()
    damage(config)
    store.index.write_bytes(b"x" * 10_000)
    code, out, _ = run(config, "verify", "--repair")
    told = [re.sub(r"^/\S*/([a-z.]+/)\S*?(\.\w+)?: ", r"\1*\2: ", line) for line in out.splitlines()]
    assert code == 1 and told == [
        "store/*.db: was damaged (file is not a database)",
        "1 problem: nothing to do: it was rebuilt from the packs",
        "names/*.book: is damaged (its checksum does not fit)",
        "1 problem: mended from its spare",
        "packs/*.pack: 1 of its 1 chunks are damaged",
        "1 problem: taken out of use; what was whole in it is kept, what is lost is told with the versions"
        " that need it",
        "manifests/*: container@1: its manifest is gone",
        "1 problem: restore it from a backup or remove container@1, after its tag stable",
        "locators/*: nowhere@1: its locator is gone",
        "1 problem: mended from manifest and packs",
        "manifests/*: flipped@1: /etc/x has lost chunks",
        "1 problem: import flipped again from its source",
        "flipped@1: 1 file has lost chunks",
        "6 found, 4 mended; 2 problems are left: do what is said above, then run `bootsrv image verify`",
    ]
    store.untag("container", "stable")
    store.remove("container@1")
    publish(store, "again", {"etc/x": noise(9_000, 0)})
    assert run(config, "verify", "--repair")[:2] == (0, "everything is as it was stored\n")


def test_tags_that_are_lost_with_a_list_are_no_success(verbs: Appliance, config: Config) -> None:
    """The next look cannot see them."""
    damage(config).with_suffix(".spare").unlink()
    code, out, _ = run(config, "verify", "--repair")
    assert code == 1 and "tags it had are lost: set them again" in out
    assert out.splitlines()[-1].startswith("1 found, 0 mended; 1 problem is left")
    assert run(config, "verify", "--repair")[0] == 0


def test_room_is_not_given_back_while_a_machine_is_imaged(
    verbs: Appliance, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bootsrv.appliance.images.GRACE", 0.0)
    publish(verbs.images.store(), "gone", {"etc/x": noise(200_000, 9)})
    verbs.images.remove("gone")
    node = verbs.nodes.add(Wanted(name="busy", macs=["52:54:00:00:00:99"]))
    verbs.registry.nodes.save(replace(node, state=NodeState.IMAGING))
    assert run(config, "gc", "--json")[0] == 0
    _, said, _ = run(config, "gc", "--json")
    assert json.loads(said)["freed"] == 0 and json.loads(said)["waiting"] > 150_000
    verbs.registry.nodes.save(replace(verbs.nodes.show("busy"), state=NodeState.RUNNING))
    assert verbs.images.gc().freed > 150_000


def test_patterns_that_would_do_nothing_are_refused(
    verbs: Appliance, config: Config, tmp_path: Path
) -> None:
    source = tmp_path / "root"
    (source / "etc").mkdir(parents=True)
    (source / "etc/x").touch()
    disk = tmp_path / "disk"
    disk.write_bytes(b"x" * 5000)
    for words in (
        ("import", "x", str(source), "--exclude", "etc/*"),
        ("import", "x", str(source), "--exclude-update", "etc/*"),
        ("import", "x", str(disk), "--disk", "--exclude", "/etc/*"),
        ("import", "x", "--recipe", "debian-12", "--exclude", "/etc/*"),
        ("capture", "--name", "x", "--exclude", "etc/*"),
        ("capture", "--name", "x", "--exclude-update", "files:/etc/*"),
    ):
        done = CliRunner().invoke(cli, ["--config", str(config.path), "image", *words])
        said = f"{done.exception} {done.output}"
        assert done.exit_code and any(part in said for part in ("matches nothing", "director")), words
    assert "x" not in {version.name for version in verbs.images.list()}


def test_what_pushes_leave_alone_stays_with_the_image(
    verbs: Appliance, config: Config, tmp_path: Path
) -> None:
    source = tmp_path / "root"
    (source / "etc").mkdir(parents=True)
    (source / "etc/x").touch()
    words = ("import", "golden", str(source), "--json")
    assert run(config, *words, "--exclude-update", "/opt/local/*")[0] == 0
    (source / "etc/y").touch()
    _, said, _ = run(config, *words, "--exclude-update", "/etc/motd")
    assert json.loads(said)["meta"]["update_excludes"] == ["/opt/local/*", "/etc/motd"]
    header = verbs.images.store().manifest("golden").header
    assert header.meta["update_excludes"] == ["/opt/local/*", "/etc/motd"], "machines read it there"
