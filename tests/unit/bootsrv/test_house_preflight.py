"""Preflight: what is found, and that nothing is found where nothing is wrong."""

from __future__ import annotations

import json
import os
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest

from bootsrv import firewall, preflight
from bootsrv.config import Config, parse
from bootsrv.portuse import Port, holder, taken
from bootsrv.preflight import Level

USAGE = shutil._ntuple_diskusage


def config(tmp_path: Path, **changes: Any) -> Config:
    return parse({"data_dir": str(tmp_path), "payload_dir": str(tmp_path / "p"), **changes}, tmp_path / "c")


class TestPorts:
    @pytest.mark.parametrize("protocol", ["tcp", "udp"])
    def test_names_who_has_it(self, protocol: str) -> None:
        kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
        with socket.socket(type=kind) as mine:
            mine.bind(("127.0.0.1", 0))
            if protocol == "tcp":
                mine.listen()
            port = Port(protocol, mine.getsockname()[1], "127.0.0.1")
            assert taken(port)
            assert f"(process {os.getpid()})" in (holder(port) or "")
        assert not taken(port)
        assert holder(port) is None

    def test_found_with_what_to_do(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as mine:
            port = mine.getsockname()[1]
            (finding,) = preflight.ports_free(config(tmp_path, http={"port": port}))
        assert (finding.level, f"TCP port {port} is taken by" in finding.what) == (Level.ERROR, True)
        assert "[http] port" in finding.do


class TestHttpAddress:
    def test_machines_are_told_another_one(self, tmp_path: Path) -> None:
        (finding,) = preflight.http_where_machines_look(
            config(tmp_path, interfaces=["lo"], http={"address": "192.0.2.7"})
        )
        assert "on lo are told to load from 127.0.0.1, and HTTP listens on 192.0.2.7 only" in finding.what

    @pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::", None])
    def test_good(self, tmp_path: Path, address: str | None) -> None:
        good = config(tmp_path, interfaces=["lo"], http={"address": address} if address else {})
        assert list(preflight.http_where_machines_look(good)) == []

    def test_every_address_is_looked_at(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with socket.create_server(("127.0.0.2", 0)) as mine:
            port = mine.getsockname()[1]
            monkeypatch.setattr(preflight, "listen_on", lambda _: [("127.0.0.1", port), ("127.0.0.2", port)])
            found = list(preflight.ports_free(config(tmp_path, http={"port": port})))
        assert any(f"TCP port {port} is taken" in finding.what for finding in found)


class TestInterfaces:
    def test_none_listed(self, tmp_path: Path) -> None:
        (finding,) = preflight.interfaces_usable(config(tmp_path))
        assert (finding.level, finding.fatal) == (Level.ERROR, False), "the page can be looked at already"

    def test_missing(self, tmp_path: Path) -> None:
        (finding,) = preflight.interfaces_usable(config(tmp_path, interfaces=["nosuch0"]))
        assert (finding.level, finding.what) == (Level.ERROR, "there is no interface nosuch0")
        assert finding.fatal and "lo" in finding.do

    def test_missing_is_said_once(self, tmp_path: Path) -> None:
        subnets = [{"cidr": "10.77.0.0/24", "mode": "authoritative"}]
        missing = config(tmp_path, interfaces=["nosuch0"], subnets=subnets)
        assert list(preflight.interfaces_usable(missing))
        assert not list(preflight.other_servers(missing))

    def test_on_no_configured_subnet(self, tmp_path: Path) -> None:
        (finding,) = preflight.interfaces_usable(
            config(tmp_path, interfaces=["lo"], subnets=[{"cidr": "10.77.0.0/24"}])
        )
        assert "127.0.0.1/8" in finding.what
        assert "on no configured subnet" in finding.what and finding.level is Level.ERROR

    def test_good(self, tmp_path: Path) -> None:
        good = config(tmp_path, interfaces=["lo"], subnets=[{"cidr": "127.0.0.0/8"}])
        assert list(preflight.interfaces_usable(good)) == []


class TestRoom:
    @pytest.mark.parametrize(
        ("free", "level"), [(10 * 2**20, Level.ERROR), (2**30, Level.WARNING), (2**40, None)]
    )
    def test_levels(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, level: Level | None
    ) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda _: USAGE(2**41, 2**41 - free, free))
        found = list(preflight.disk_room(config(tmp_path)))
        assert [finding.level for finding in found] == ([level] if level else [])


class TestPayloads:
    def test_missing_and_there(self, tmp_path: Path) -> None:
        found = list(preflight.payloads_there(config(tmp_path)))
        assert [(one.level, one.fatal) for one in found] == [(Level.ERROR, False)] * 2
        assert all("./run setup" in one.do for one in found)
        for name in ("loaders/snponly.efi", "imager/vmlinuz", "imager/initrd.img"):
            (tmp_path / "p" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "p" / name).touch()
        assert list(preflight.payloads_there(config(tmp_path))) == []


def rules(*rows: dict[str, Any], policy: str = "drop") -> bytes:
    chain = {"family": "inet", "table": "filter", "name": "input", "hook": "input", "policy": policy}
    return json.dumps(
        {"nftables": [{"chain": chain}, *({"rule": {"expr": list(row)}} for row in rows)]}
    ).encode()


def dport(right: object) -> dict[str, Any]:
    return {"match": {"op": "==", "left": {"payload": {"protocol": "udp", "field": "dport"}}, "right": right}}


class TestNfs:
    def test_another_server_has_its_port(self, tmp_path: Path) -> None:
        with socket.socket() as mine, socket.socket() as other:
            for each in (mine, other):
                each.bind(("0.0.0.0", 0))
                each.listen()
            port, mount_port = mine.getsockname()[1], other.getsockname()[1]
            nfs = {"backend": "ganesha", "port": port, "mount_port": mount_port}
            found = [one.what for one in preflight.nfs_possible(config(tmp_path, nfs=nfs))]
            assert any(what.startswith(f"no roots over NFS: TCP port {port} is taken by") for what in found)
            assert any(what.startswith(f"no roots over NFS: TCP port {mount_port} is") for what in found)
        free = [one.what for one in preflight.nfs_possible(config(tmp_path, nfs=nfs))]
        assert not any("is taken" in what for what in free)

    def test_the_kernel_is_asked_for_and_does_not_serve(self, tmp_path: Path) -> None:
        (finding,) = preflight.nfs_possible(config(tmp_path, nfs={"backend": "kernel"}))
        assert finding.level is Level.WARNING and "nfs-server" in finding.do

    def test_switched_off(self, tmp_path: Path) -> None:
        assert list(preflight.nfs_possible(config(tmp_path, nfs={"enabled": False}))) == []


class TestFirewall:
    PORTS = (67, 69, 8080)

    def test_drops_by_default(self) -> None:
        assert firewall.blocked(rules(), self.PORTS) == ("inet filter input", [67, 69, 8080])

    def test_rules_that_let_in(self) -> None:
        text = rules(
            [dport({"set": [67, {"range": [60, 70]}]}), {"accept": None}],  # type: ignore[arg-type]
            [dport(8080), {"drop": None}],  # type: ignore[arg-type]
        )
        assert firewall.blocked(text, self.PORTS) == ("inet filter input", [8080])

    def test_a_whole_interface_is_let_in(self) -> None:
        by_name = {"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "br0"}}
        assert firewall.blocked(rules([by_name, {"accept": None}]), self.PORTS) is None  # type: ignore[arg-type]
        loopback = {"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "lo"}}
        assert firewall.blocked(rules([loopback, {"accept": None}]), self.PORTS) is not None  # type: ignore[arg-type]

    def test_nft_that_hangs(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        nft = tmp_path / "nft"
        nft.write_text("#!/bin/sh\nexec sleep 60\n")
        nft.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        monkeypatch.setattr(firewall, "PATIENCE", 0.2)
        (finding,) = preflight.firewall_open(config(tmp_path, interfaces=["lo"]))
        assert finding.level is Level.WARNING
        assert finding.what == "the firewall could not be looked at: nft did not answer within 0.2 s"

    @pytest.mark.parametrize(
        "text", [b"{", b"[]", b"5", b"{}", b'{"nftables": 5}', b'{"nftables": [5]}']
    )
    def test_an_answer_that_is_none(self, text: bytes) -> None:
        with pytest.raises(firewall.Unreadable, match="is not understood"):
            firewall.blocked(text, self.PORTS)

    def test_open(self) -> None:
        assert firewall.blocked(rules(policy="accept"), self.PORTS) is None
        assert firewall.blocked(b"", self.PORTS) is None
