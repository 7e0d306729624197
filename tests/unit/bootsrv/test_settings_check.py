"""What a configuration says twice in different ways is told, with the key, and with what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bootsrv import preflight, settingscheck
from bootsrv.config import Config, parse
from bootsrv.finding import Level


def config(**changes: Any) -> Config:
    return parse({"data_dir": "/nowhere", "interfaces": ["lo"], **changes}, Path("/etc/x.toml"))


def subnet(**changes: Any) -> list[dict[str, Any]]:
    return [{"cidr": "127.0.0.0/8", "mode": "authoritative", "pools": ["127.0.0.2-127.0.0.9"], **changes}]


def said(made: Config) -> list[str]:
    checks = (settingscheck.dhcp_agrees, settingscheck.pools_are_free, settingscheck.services_are_on)
    assert set(checks) <= set(preflight.AT_START) and set(checks) <= set(preflight.ALL)
    found = preflight.look(made, checks)
    assert all(one.level is Level.WARNING and one.do and "\n" not in one.what for one in found)
    return [one.what for one in found]


def test_what_agrees() -> None:
    assert said(config(subnets=subnet())) == []
    assert said(config(subnets=[{"cidr": "127.0.0.0/8"}])) == []
    assert said(config(interfaces=[], http={"enabled": False}, tftp={"enabled": False})) == []


def test_pools_beside_another_server() -> None:
    (line,) = said(config(subnets=subnet(mode="proxy")))
    assert line.startswith("/etc/x.toml: subnets[0] (127.0.0.0/8) has pools, and its mode is proxy")


def test_an_authority_that_is_switched_off() -> None:
    (line,) = said(config(subnets=subnet(), dhcp={"enabled": False}))
    assert line.startswith("/etc/x.toml: subnets[0] (127.0.0.0/8) is authoritative, and [dhcp] is")


@pytest.mark.parametrize(
    ("changes", "whose"),
    [
        ({"pools": ["127.0.1.1", "127.0.0.1-127.0.0.9"]}, "has 127.0.0.1 in it, this server's own"),
        ({"routers": ["127.0.0.9"]}, "127.0.0.9 in it, a router"),
    ],
)
def test_a_pool_with_an_address_that_is_never_given(changes: dict[str, Any], whose: str) -> None:
    (line,) = said(config(subnets=subnet(**changes)))
    assert line.startswith("/etc/x.toml: subnets[0].pools: 127.0.0.") and whose in line
    elsewhere = config(subnets=subnet(**changes), interfaces=["nosuch0"])
    assert said(elsewhere) == ([line] if "routers" in changes else [])


@pytest.mark.parametrize(("section", "word"), [("http", "no page"), ("tftp", "no loader")])
def test_a_service_that_machines_need(section: str, word: str) -> None:
    (line,) = said(config(**{section: {"enabled": False}}))
    assert line.startswith(f"/etc/x.toml: [{section}] is switched off") and word in line
