"""What diskless machines have as their root: on the page, over REST and in the shell, all three kinds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from click.testing import CliRunner
from flask import Flask
from webhouse import House, add

from bootsrv.appliance.nodes import Wanted
from bootsrv.cli.context import Context
from bootsrv.cli.export import export
from bootsrv.diskless import nbdstate, netroots
from bootsrv.model import Node, Root, Rooted, RootKind, Writes
from bootsrv.nfsroot import status
from bootsrv.nfsroot.grants import Grant
from bootsrv.nfsroot.status import Status, Traffic, WriteSpace
from images.netroot import prepare
from webui import rootforms


def boot(house: House, node: Node, ref: str, kind: RootKind, writes: Writes = Writes.DISCARD) -> Node:
    rooted = Rooted(ref, Root(kind, writes), 1_790_000_000.0)
    return house.appliance.registry.nodes.save(replace(node, rooted=rooted))


def furnish(house: House) -> None:
    """n1 over NFS with a place to write, n2 by NBD, n3 in memory."""
    config = house.appliance.config
    for folder in (config.run_dir, nbdstate.folder(config)):
        folder.mkdir(parents=True, exist_ok=True)
    n1 = boot(house, add(house, "n1"), "debian@1", RootKind.NFS, Writes.KEEP)
    n2 = boot(house, add(house, "n2"), "debian@1", RootKind.NBD)
    n3 = boot(house, add(house, "n3"), "compute@7", RootKind.RAM)
    assert n3.rooted is not None
    for boot_at, received in ((n3.rooted.at - 60, 1), (n3.rooted.at + 9, 6 << 20)):
        house.appliance.registry.events.add(boot_at, "root.done", "", None, n3.id, {"received": received})
    address = str(n1.address)
    told = Status(
        "ganesha", 2049, 20048, ("4.2", "3"), roots=(status.Root("debian@1", f"{1:064x}", "/r/1", 5 << 20),),
        writes=(WriteSpace(n1.id, "/w/1", 3 << 20, 64 << 20),),
        grants=(Grant(n1.id, "n1", address, "debian@1", 1.0, True, None),),
        traffic=(Traffic(address, True, 7 << 20, 1 << 10),),
    )  # fmt: skip
    status.write(config, told)
    client = nbdstate.Client(str(n2.address), "debian@1", 1.0, read=9 << 20, requests=50, misses=1)
    served = nbdstate.Served(read=11 << 20, requests=100, misses=5, cached=2 << 20)
    nbdstate.write(config, 0, [client], {"debian@1": served})
    prepared(house, "debian@1", has=["overlay", "nbd", "erofs", "nfs"])


def prepared(house: House, ref: str, has: list[str]) -> Path:
    """As the process `roots` leaves it."""
    place = netroots.home(house.appliance.config, house.appliance.images.resolve(ref).id)
    place.mkdir(parents=True, exist_ok=True)
    loss = {"what": "security.capability", "files": 2, "first": "/usr/bin/ping"}
    row = {"inputs": "", "kernel": "6.1.0-9", "has": has, "left_out": {"nfs": [loss], "nbd": [], "ram": []}}
    (place / prepare.READY).write_text(json.dumps(row))
    return place


def test_over_rest(admin, house: House, app: Flask) -> None:  # type: ignore[no-untyped-def]
    assert admin.get("/api/v1/exports").json == {"exports": []}
    furnish(house)
    found = admin.get("/api/v1/exports").json["exports"]
    rows = {(row["image"], row["kind"]): row for row in found}
    assert set(rows) == {("compute@7", "ram"), ("debian@1", "nbd"), ("debian@1", "nfs")}
    nfs = rows["debian@1", "nfs"]
    assert (nfs["server"], nfs["path"], nfs["bytes"]) == ("ganesha v4.2 v3", "/r/1", 5 << 20)
    (n1,) = nfs["machines"]
    assert (n1["name"], n1["connected"], n1["sent"], n1["written"]) == ("n1", True, 7 << 20, 3 << 20)
    (n2,) = rows["debian@1", "nbd"]["machines"]
    assert (n2["name"], n2["connected"], n2["sent"], n2["limit"]) == ("n2", True, 9 << 20, None)
    assert (rows["debian@1", "nbd"]["sent"], rows["debian@1", "nbd"]["hit_rate"]) == (11 << 20, 0.95)
    assert n2["hit_rate"] == 0.98 and nfs["left_out"] == ["security.capability (/usr/bin/ping and 1 more)"]
    (n3,) = rows["compute@7", "ram"]["machines"]
    assert (n3["connected"], n3["sent"], rows["compute@7", "ram"]["sent"]) == (None, 6 << 20, 6 << 20)
    node = house.appliance.nodes.show("n3")
    assert rootforms.told(node, None, house.appliance.exports.of(node))[-1] == "Was sent 6 MiB"
    assert len(admin.get("/api/v1/exports/debian@1").json["exports"]) == 2
    assert admin.get("/api/v1/exports/debian@2").status_code == 404
    assert app.test_client().get("/api/v1/exports").status_code == 401


def test_what_is_next_in_another_kind_is_not_in_use_in_that_kind(  # type: ignore[no-untyped-def]
    admin, house: House
) -> None:
    furnish(house)
    house.appliance.nodes.set("n2", Wanted(mode="diskless", image="debian@1", root="nfs"))
    found = admin.get("/api/v1/exports/debian@1").json["exports"]
    since = {(row["kind"], one["name"]): one["since"] for row in found for one in row["machines"]}
    assert since["nbd", "n2"] is not None and since["nfs", "n2"] is None
    assert since["nfs", "n1"] is not None


def test_on_the_page(admin, house: House) -> None:  # type: ignore[no-untyped-def]
    assert "No machine is diskless" in admin.get("/exports").text
    furnish(house)
    page = admin.get("/exports").text
    assert "debian@1" in page and "ganesha v4.2 v3" in page and "connected" in page
    assert 'href="/exports"' in admin.get("/images").text
    assert "11 MiB sent" in page and "95 % from the cache" in page and "98 %" in page
    assert "Not in this kind of root: security.capability (/usr/bin/ping and 1 more)" in page


def test_what_keeps_machines_waiting(admin, house: House) -> None:  # type: ignore[no-untyped-def]
    """A version whose kernel and first RAM disk are not there is no root yet, whatever exports it."""
    furnish(house)

    def state(kind: str, ref: str = "debian@1") -> str:
        rows = admin.get(f"/api/v1/exports/{ref}").json["exports"]
        return str(next(row["state"] for row in rows if row["kind"] == kind))

    assert (state("nbd"), state("nfs"), state("ram", "compute@7")) == ("ready", "ready", "waits for its turn")
    place = prepared(house, "compute@7", ["overlay", "squashfs", "loop"])
    (place / netroots.STATE).write_text('{"step": "squashfs", "percent": 40}')
    assert state("ram", "compute@7") == "squashfs 40 % made"
    (place / netroots.STATE).write_text('{"error": "no kernel in compute@7"}')
    assert state("ram", "compute@7") == "failed: no kernel in compute@7"
    assert "failed: no kernel in compute@7" in admin.get("/exports").text
    (place / netroots.STATE).unlink()
    assert state("ram", "compute@7") == "waits for its turn"
    for name in (prepare.SQUASHFS, prepare.BLOCKS):
        (place / name).write_bytes(b"x" * 5)
    assert state("ram", "compute@7") == "ready"
    prepared(house, "debian@1", ["overlay", "nfs"])
    assert state("nbd") == "its kernel 6.1.0-9 has no nbd, erofs" and state("nfs") == "ready"


def test_in_the_shell(house: House) -> None:
    context = Context(str(house.config_file))
    context.__dict__["appliance"] = house.appliance
    empty = CliRunner().invoke(export, ["list"], obj=context)
    assert empty.exit_code == 0
    furnish(house)
    listed = CliRunner().invoke(export, ["list"], obj=context).output.splitlines()
    assert listed[0].split() == ["IMAGE", "ROOT", "STATE", "MACHINES", "CONNECTED", "DISK", "SENT", "CACHED"]
    assert len(listed) == 4 and next(row for row in listed if " nbd " in row).split()[-1] == "95%"
    shown = CliRunner().invoke(export, ["show", "debian@1"], obj=context).output
    assert "/r/1" in shown and "n1" in shown and "n2" in shown and "n3" not in shown
    assert "security.capability (/usr/bin/ping and 1 more)" in shown and "98%" in shown
    whole = json.loads(CliRunner().invoke(export, ["list", "--json"], obj=context).output)
    assert {row["image"] for row in whole} == {"debian@1", "compute@7"}
