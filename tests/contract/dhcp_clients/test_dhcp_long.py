"""More options than the options field holds, and one longer than 255 bytes, read by other people's clients:
option overload (RFC 2131 section 4.1) and long options (RFC 3396)."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from typing import Any

import pytest
from dhcp_wire import NETNS, Wire, eventually, need, wire

from pxe.dhcp import options
from pxe.dhcp import wire as wire_form

__all__ = ["wire"]  # the fixture
pytestmark = NETNS
SEARCH = [f"department-{number:02}.cluster.test" for number in range(12)]  # 324 bytes on the wire
MANY: Mapping[str, Any] = {
    "ntp-servers": ["10.93.0.1", "10.93.0.2"],
    "root-path": "10.93.0.1:/" + "r" * 80,
    "log-servers": ["10.93.0.3"],
    "nis-domain": "n" * 110,
    "merit-dump": "/" + "m" * 100,
}


def test_they_are_more_than_the_field_holds() -> None:
    assert sum(2 + len(options.encode(*item)[1]) for item in MANY.items()) > wire_form.DEFAULT_LIMIT - 240


def dhclient(wire: Wire) -> str:
    """What it puts on record of its lease."""
    leases, config, pid = wire.tmp / "leases", wire.tmp / "dhclient.conf", wire.tmp / "pid"
    config.write_text(
        "request subnet-mask, routers, domain-search, ntp-servers, root-path, log-servers, nis-domain,"
        " merit-dump, interface-mtu; timeout 15;\n"
    )
    wire.on_client(need("dhclient"), "-lf", str(leases), "-pf", str(pid), "-cf", str(config),
                   "-sf", "/bin/true", "-1", "-v", "eth0")  # fmt: skip
    eventually(lambda: pid.exists() and pid.read_text().strip())
    os.kill(int(pid.read_text()), signal.SIGTERM)
    return leases.read_text()


@pytest.mark.parametrize("what", ["overload", "long"])
def test_dhclient(wire: Wire, what: str) -> None:
    chosen = MANY if what == "overload" else {"domain-search": SEARCH}
    wire.serve(options={"interface-mtu": 1400, **chosen})
    text = dhclient(wire)
    assert "option interface-mtu 1400;" in text
    if what == "long":
        for name in SEARCH:
            assert f'"{name}."' in text
        return
    assert f'option root-path "10.93.0.1:/{"r" * 80}";' in text
    assert f'option nis-domain "{"n" * 110}";' in text and "option log-servers 10.93.0.3;" in text
    assert f'option merit-dump "/{"m" * 100}";' in text and "option ntp-servers 10.93.0.1,10.93.0.2;" in text


def test_udhcpc(wire: Wire) -> None:
    """It says that it takes 576 bytes, and gets what fits there, spread over three fields."""
    wire.serve(options={"interface-mtu": 1400, **MANY})
    script = wire.tmp / "script"
    script.write_text(f"#!/bin/sh\nenv > {wire.tmp}/$1\nexit 0\n")
    script.chmod(0o755)
    asked = [word for name in ("ntpsrv", "rootpath", "nisdomain", "mtu") for word in ("-O", name)]
    wire.on_client(need("udhcpc"), "-f", "-q", "-n", "-i", "eth0", "-s", str(script), *asked, "-O", "14")
    facts = dict(line.split("=", 1) for line in (wire.tmp / "bound").read_text().splitlines() if "=" in line)
    assert facts["rootpath"] == "10.93.0.1:/" + "r" * 80 and facts["nisdomain"] == "n" * 110
    assert facts["mtu"] == "1400" and facts["ntpsrv"] == "10.93.0.1 10.93.0.2"
    assert bytes.fromhex(facts["opt14"]) == b"/" + b"m" * 100
