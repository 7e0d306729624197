"""What an administrator writes about a network: read, or refused with the key that is wrong."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest

from pxe.dhcp.subnet import Mode, Pool, build_subnet, check_together
from pxe.errors import SettingError

GOOD: dict[str, Any] = {"cidr": "10.77.0.0/24"}


def test_defaults_do_no_harm() -> None:
    subnet = build_subnet(GOOD)
    assert subnet.mode is Mode.PROXY and subnet.pools == () and subnet.lease_seconds == 3600


def test_everything() -> None:
    subnet = build_subnet(
        {
            **GOOD,
            "mode": "authoritative",
            "pools": ["10.77.0.100-10.77.0.199", "10.77.0.210"],
            "routers": ["10.77.0.1"],
            "lease_seconds": 60,
            "options": {"ntp-servers": ["10.77.0.1"]},
            "interface": "br0",
            "unknown": False,
        }
    )
    assert subnet.cidr == IPv4Network("10.77.0.0/24") and subnet.mode is Mode.AUTHORITATIVE
    assert subnet.pools[1] == Pool(IPv4Address("10.77.0.210"), IPv4Address("10.77.0.210"))
    assert str(subnet.pools[0]) == "10.77.0.100-10.77.0.199"
    assert IPv4Address("10.77.0.150") in subnet.pools[0] and IPv4Address("10.77.0.200") not in subnet.pools[0]
    assert build_subnet({"cidr": IPv4Network("10.0.0.0/8"), "pools": subnet.pools[:0]}).cidr.prefixlen == 8


@pytest.mark.parametrize(
    "change, key, reason",
    [
        ({"cidr": "10.77.0.1/24"}, "cidr", "did you mean 10.77.0.0/24?"),
        ({"cidr": "10.77.0.0"}, "cidr", "not a network"),
        ({"cidr": "10.77.0.0/33"}, "cidr", "not an IPv4 network"),
        ({"cidr": 5}, "cidr", "not a network"),
        ({"mode": "master"}, "mode", "neither authoritative nor proxy"),
        ({"pools": "10.77.0.5"}, "pools", "not a list"),
        ({"pools": [7]}, "pools[0]", "not a range"),
        ({"pools": ["10.77.0.9-10.77.0.5"]}, "pools[0]", "backwards"),
        ({"pools": ["10.77.0.5-10.77.1.9"]}, "pools[0]", "10.77.1.9 is not a host address of 10.77.0.0/24"),
        ({"pools": ["10.77.0.0-10.77.0.9"]}, "pools[0]", "10.77.0.0 is not a host address"),
        ({"pools": ["10.77.0.9-10.77.0.255"]}, "pools[0]", "10.77.0.255 is not a host address"),
        ({"pools": ["10.77.0.5-10.77.0.9", "10.77.0.9-10.77.0.12"]}, "pools[1]", "overlaps"),
        ({"pools": ["10.77.0.5-nine"]}, "pools[0]", "'nine' is not an IPv4 address"),
        ({"routers": ["10.78.0.1"]}, "routers[0]", "not in 10.77.0.0/24"),
        ({"routers": ["gw"]}, "routers[0]", "not an IPv4 address"),
        ({"lease_seconds": 59}, "lease_seconds", "59 is not in 60.."),
        ({"lease_seconds": True}, "lease_seconds", "not a whole number"),
        ({"lease_seconds": "1h"}, "lease_seconds", "not a whole number"),
        ({"options": []}, "options", "not a table"),
        ({"options": {"interface-mtu": 5}}, "options.interface-mtu", "68..65535"),
        ({"options": {"mtu": 5}}, "options.mtu", "no such DHCP option"),
        ({"poolz": []}, "poolz", "unknown key"),
        ({"interface": 5}, "interface", "not a text"),
        ({"unknown": "no"}, "unknown", "neither true nor false"),
    ],
)
def test_refused(change: dict[str, Any], key: str, reason: str) -> None:
    with pytest.raises(SettingError) as caught:
        build_subnet({**GOOD, **change})
    assert caught.value.key == key
    assert reason in caught.value.reason


def test_cidr_is_needed() -> None:
    with pytest.raises(SettingError, match="cidr: missing"):
        build_subnet({})


def test_overlap_between_subnets() -> None:
    subnets = [build_subnet({"cidr": cidr}) for cidr in ("10.1.0.0/16", "10.2.0.0/16", "10.1.9.0/24")]
    check_together(subnets[:2])
    with pytest.raises(SettingError) as caught:
        check_together(subnets)
    assert caught.value.key == "subnets[2].cidr" and "subnets[0]" in caught.value.reason
