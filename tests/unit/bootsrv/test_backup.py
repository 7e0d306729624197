"""The server's own state in one file, and back: with a real registry and a real store."""

from __future__ import annotations

import json
import os
import tarfile
import tempfile
from ipaddress import IPv4Address
from pathlib import Path

import pytest
import zstandard
from click.testing import CliRunner
from imagestore import contents, noise, publish

from bootsrv.appliance.appliance import Appliance
from bootsrv.appliance.nodes import Wanted
from bootsrv.backup import read
from bootsrv.backup.write import Written, write
from bootsrv.cli.main import cli
from bootsrv.config import Config, load
from bootsrv.errors import Conflict, Invalid, NotFound
from images.progress import silent
from images.store import ImageStore


def server(home: Path) -> Config:
    home.mkdir(parents=True)
    (home / "b.toml").write_text(
        f'data_dir = "{home}/data"\n[[subnets]]\ncidr = "10.77.0.0/24"\nmode = "authoritative"\n'
    )
    return load(home / "b.toml")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A server with a node, a user, two versions of an image, a key, public files and a cache."""
    config = server(tmp_path / "old")
    appliance = Appliance.open(config)
    appliance.users.first_admin()
    store = appliance.images.store()
    publish(store, "debian", {"a": noise(300_000, 1)})
    publish(store, "debian", {"a": noise(300_000, 1), "b": noise(50_000, 2)})
    appliance.nodes.add(Wanted(name="n1", macs=["52:54:00:00:00:01"], address="10.77.0.11"))
    appliance.close()
    (config.data_dir / "leases.journal").write_bytes(b"frames")
    (config.data_dir / "keys" / "ssh_ed25519").write_text("secret")
    (config.data_dir / "public" / "sub").mkdir(parents=True)
    (config.data_dir / "public" / "sub" / "file").write_text("hello")
    (config.data_dir / "public" / "link").symlink_to("sub/file")
    for cache in ("cache", "run"):
        (config.data_dir / cache).mkdir()
        (config.data_dir / cache / "big").write_bytes(bytes(100))
    return config


def backed_up(config: Config, out: Path, images: bool = True) -> Written:
    return write(config, out, images, silent)


def test_a_new_machine_becomes_the_old_server(config: Config, tmp_path: Path) -> None:
    done = backed_up(config, tmp_path / "b")
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o600
    new = server(tmp_path / "new")
    back = read.restore(tmp_path / "b", new.data_dir, False, silent)
    assert back.files == done.files and back.aside is None and back.images
    appliance = Appliance.open(new)
    (node,) = appliance.nodes.list()
    assert node.name == "n1" and node.address == IPv4Address("10.77.0.11")
    assert list(appliance.users.list()) == ["admin"]
    old_store, store = ImageStore.open(config.store_dir), appliance.images.store()
    assert contents(store, "debian@2") == contents(old_store, "debian@2")
    assert not list(store.verify()), "every byte"
    publish(store, "debian", {"c": b"c"})  # signed with the old server's key
    assert store.public_key() == old_store.public_key()
    appliance.close()
    assert (new.data_dir / "leases.journal").read_bytes() == b"frames"
    assert (new.data_dir / "public" / "link").read_text() == "hello"
    assert (new.data_dir / "keys" / "ssh_ed25519").read_text() == "secret"
    assert (new.data_dir / "keys").stat().st_mode & 0o777 == 0o700
    assert not (new.data_dir / "cache").exists() and not (new.data_dir / "run").exists()
    assert not list(new.store_dir.glob("temp/*"))


def test_without_images_the_keys_that_sign_them_are_in_it(config: Config, tmp_path: Path) -> None:
    backed_up(config, tmp_path / "b", images=False)
    new = server(tmp_path / "new")
    assert not read.restore(tmp_path / "b", new.data_dir, False, silent).images
    store = ImageStore.open(new.store_dir, keys=new.data_dir / "keys")
    assert store.names() == [] and store.public_key() == ImageStore.open(config.store_dir).public_key()
    assert publish(store, "debian", {"a": b"a"}).ref == "debian@1"


def test_what_is_there_is_not_lost(config: Config, tmp_path: Path) -> None:
    backed_up(config, tmp_path / "b")
    with pytest.raises(Conflict, match="--replace"):
        read.restore(tmp_path / "b", config.data_dir, False, silent)
    (config.data_dir / "later").touch()
    back = read.restore(tmp_path / "b", config.data_dir, True, silent)
    assert back.aside is not None and (back.aside / "later").exists()
    assert not (config.data_dir / "later").exists() and config.registry_file.exists()
    with pytest.raises(Conflict, match="exists"):
        backed_up(config, tmp_path / "b")


def test_a_running_service_is_not_pulled_from_under(config: Config, tmp_path: Path) -> None:
    backed_up(config, tmp_path / "b")
    with config.registry_file.open(), pytest.raises(Conflict, match=f"process {os.getpid()} .*stop"):
        read.restore(tmp_path / "b", config.data_dir, True, silent)


def test_half_a_backup_or_a_damaged_one_changes_nothing(config: Config, tmp_path: Path) -> None:
    backed_up(config, tmp_path / "b")
    whole = (tmp_path / "b").read_bytes()
    new = server(tmp_path / "new")
    broken = tmp_path / "broken"
    plain = zstandard.ZstdDecompressor().stream_reader(whole).read()
    cut = zstandard.ZstdCompressor().compress(plain[: len(plain) // 2 // 512 * 512] + bytes(1024))
    flipped = bytearray(plain)
    flipped[plain.index(b"hello")] ^= 1
    swapped = zstandard.compress(bytes(flipped))
    for data in (whole[: len(whole) // 2], whole[:-200], b"", b"x" * 99, cut, swapped):
        broken.write_bytes(data)
        with pytest.raises(Invalid):
            read.restore(broken, new.data_dir, False, silent)
        assert not new.data_dir.exists() and not list(new.data_dir.parent.glob("*restoring"))
    with pytest.raises(NotFound):
        read.restore(tmp_path / "none", new.data_dir, False, silent)


@pytest.mark.parametrize("name", ["../evil", "data/../../evil", "/evil", "elsewhere/evil", "data//../x"])
def test_no_name_leaves_the_place(name: str, tmp_path: Path) -> None:
    about = {"format": 1, "made": 0, "host": "h", "images": False}
    with (
        (tmp_path / "b").open("wb") as file,
        zstandard.ZstdCompressor().stream_writer(file) as packed,
        tarfile.open(fileobj=packed, mode="w|") as tar,
    ):
        for one, data in (("backup.json", json.dumps(about).encode()), (name, b"evil")):
            (tmp_path / "m").write_bytes(data)
            info = tar.gettarinfo(tmp_path / "m", arcname="x")
            info.name = one
            tar.addfile(info, (tmp_path / "m").open("rb"))
    with pytest.raises(Invalid, match="does not belong"):
        read.restore(tmp_path / "b", tmp_path / "data", False, silent)
    assert not list(tmp_path.rglob("evil"))


def test_versions_that_go_meanwhile_are_still_whole_in_it(config: Config, tmp_path: Path) -> None:
    store = ImageStore.open(config.store_dir)

    def removed_on_the_way(done: int, total: int | None, what: str) -> None:
        if what.endswith("format.json") and len(store.versions()) == 2:
            store.remove("debian@1")
            store.gc(grace=-1)
            store.gc(grace=-1)

    write(config, tmp_path / "b", True, removed_on_the_way)
    assert len(store.versions()) == 1
    new = server(tmp_path / "new")
    read.restore(tmp_path / "b", new.data_dir, False, silent)
    copy = ImageStore.open(new.store_dir, keys=new.data_dir / "keys")
    assert [version.ref for version in copy.versions()] == ["debian@1", "debian@2"]
    assert not list(copy.verify())


def test_by_command_to_a_machine_without_a_configuration(config: Config, tmp_path: Path) -> None:
    run = CliRunner()
    out = tmp_path / "b"
    done = run.invoke(cli, ["--config", str(config.path), "backup", str(out), "--json"])
    assert done.exit_code == 0 and json.loads(done.stdout)["files"] > 5, done.output
    config.data_dir.rename(tmp_path / "gone")
    there = tmp_path / "etc" / "bootsrv.toml"
    done = run.invoke(cli, ["--config", str(there), "restore", str(out)])
    assert done.exit_code == 0 and str(config.data_dir) in done.output, done.output
    assert there.read_bytes() == config.path.read_bytes()
    done = run.invoke(cli, ["--config", str(there), "node", "list", "--json"])
    assert json.loads(done.stdout)[0]["name"] == "n1"


def test_the_copy_of_a_killed_backup_goes_with_the_next(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds every secret of the registry."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "bootsrv-backup-x").mkdir()
    (tmp_path / "bootsrv-backup-x/registry.db").touch()
    backed_up(config, tmp_path / "b")
    assert not list(tmp_path.glob("bootsrv-backup-*"))
