"""DHCP options by ISC name: RFC 2132 and successors, types, ranges, and errors a person understands."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pxe.dhcp import options
from pxe.dhcp.options import OptionError, decode, encode
from pxe.errors import SettingError

GOOD: list[tuple[str, Any, int, str]] = [
    ("subnet-mask", "255.255.255.0", 1, "ffffff00"),
    ("time-offset", -3600, 2, "fffff1f0"),
    ("routers", ["10.77.0.1", "10.77.0.2"], 3, "0a4d00010a4d0002"),
    ("routers", "10.77.0.1, 10.77.0.2", 3, "0a4d00010a4d0002"),
    ("time-servers", ["10.77.0.1"], 4, "0a4d0001"),
    ("domain-name-servers", "10.77.0.1", 6, "0a4d0001"),
    ("log-servers", ["10.77.0.1"], 7, "0a4d0001"),
    ("lpr-servers", ["10.77.0.1"], 9, "0a4d0001"),
    ("host-name", "n1", 12, "6e31"),
    ("merit-dump", "/dump", 14, "2f64756d70"),
    ("domain-name", "a.test", 15, "612e74657374"),
    ("root-path", "10.77.0.1:/srv", 17, "31302e37372e302e313a2f737276"),
    ("max-dgram-reassembly", 576, 22, "0240"),
    ("default-ip-ttl", 64, 23, "40"),
    ("path-mtu-aging-timeout", 600, 24, "00000258"),
    ("path-mtu-plateau-table", [68, 1500], 25, "004405dc"),
    ("interface-mtu", 9000, 26, "2328"),
    ("interface-mtu", "1500", 26, "05dc"),
    ("all-subnets-local", True, 27, "01"),
    ("all-subnets-local", "false", 27, "00"),
    ("broadcast-address", "10.77.0.255", 28, "0a4d00ff"),
    ("static-routes", ["10.0.0.0", "10.77.0.9"], 33, "0a0000000a4d0009"),
    ("arp-cache-timeout", 60, 35, "0000003c"),
    ("default-tcp-ttl", 1, 37, "01"),
    ("tcp-keepalive-interval", 0, 38, "00000000"),
    ("nis-domain", "cluster", 40, "636c7573746572"),
    ("nis-servers", ["10.77.0.1"], 41, "0a4d0001"),
    ("ntp-servers", ["10.77.0.1"], 42, "0a4d0001"),
    ("x-display-manager", ["10.77.0.1"], 49, "0a4d0001"),
    ("nisplus-domain", "cluster", 64, "636c7573746572"),
    ("nisplus-servers", ["10.77.0.1"], 65, "0a4d0001"),
    ("tftp-server-name", "boot", 66, "626f6f74"),
    ("bootfile-name", "x.efi", 67, "782e656669"),
    ("smtp-server", ["10.77.0.1"], 69, "0a4d0001"),
    ("captive-portal", "https://a.test/api", 114, "68747470733a2f2f612e746573742f617069"),
    ("domain-search", ["a.test", "b.test"], 119, "016104746573740001620474657374" + "00"),
    ("classless-static-routes", ["10.0.0.0/8 via 10.77.0.9"], 121, "080a0a4d0009"),
    ("classless-static-routes", ["default 10.77.0.1", "10.1.2.128/25 10.77.0.9"], 121,
     "000a4d0001190a0102800a4d0009"),
    ("rfc3442-classless-static-routes", "0.0.0.0/0 via 10.77.0.1", 121, "000a4d0001"),
    ("tftp-server-address", ["10.77.0.1"], 150, "0a4d0001"),
    ("option-224", "0a:0b:ff", 224, "0a0bff"),
    ("option-43", "0a0b", 43, "0a0b"),
]  # fmt: skip


@pytest.mark.parametrize("name, value, code, data", GOOD)
def test_value_to_bytes(name: str, value: Any, code: int, data: str) -> None:
    assert encode(name, value) == (code, bytes.fromhex(data))


BAD: list[tuple[str, Any, str]] = [
    ("subnet-mask", "255.0.255.0", "contiguous"),
    ("subnet-mask", "10.0.0", "not an IPv4 address"),
    ("time-offset", 2**31, "-2147483648..2147483647"),
    ("routers", [], "empty"),
    ("routers", ["gateway"], "'gateway' is not an IPv4 address"),
    ("routers", 5, "not an IPv4 address"),
    ("interface-mtu", 67, "68..65535"),
    ("interface-mtu", 65536, "68..65535"),
    ("interface-mtu", "big", "not a whole number"),
    ("interface-mtu", True, "not a whole number"),
    ("interface-mtu", 1500.0, "not a whole number"),
    ("default-tcp-ttl", 0, "1..255"),
    ("default-ip-ttl", 256, "1..255"),
    ("max-dgram-reassembly", 575, "576..65535"),
    ("path-mtu-plateau-table", [67], "68..65535"),
    ("static-routes", ["0.0.0.0", "10.77.0.1"], "0.0.0.0"),
    ("static-routes", ["10.0.0.0"], "odd number"),
    ("all-subnets-local", "maybe", "neither true nor false"),
    ("all-subnets-local", 2, "neither true nor false"),
    ("domain-name", "", "not a text"),
    ("domain-name", "a\nb", "control characters"),
    ("merit-dump", "x" * 2000, "more than 1024"),
    ("host-name", "n_1 x", "not a host"),
    ("host-name", "-n1", "not a host"),
    ("domain-search", ["a..test"], "not a host or domain name"),
    ("domain-search", ["x" * 64 + ".test"], "not a host or domain name"),
    ("classless-static-routes", ["10.0.0.1/8 via 10.77.0.1"], "not a network"),
    ("classless-static-routes", ["10.0.0.0/8"], "not a network and a router"),
    ("captive-portal", "ftp://x", "not an http"),
    ("option-224", "xyz", "not hex"),
    ("option-53", "01", "set by the DHCP server itself"),
    ("option-82", "01", "set by the DHCP server itself"),
    ("option-255", "01", "set by the DHCP server itself"),
    ("option-300", "01", "set by the DHCP server itself"),
    ("option-1x", "01", "no such DHCP option"),
    ("gateway", "10.77.0.1", "no such DHCP option"),
]


@pytest.mark.parametrize("name, value, reason", BAD)
def test_bad_values_are_named(name: str, value: Any, reason: str) -> None:
    with pytest.raises(OptionError) as caught:
        encode(name, value)
    assert isinstance(caught.value, SettingError)
    assert caught.value.key == name
    assert reason in caught.value.reason
    assert str(caught.value).startswith(f"{name}: ")
    assert "\n" not in str(caught.value)


HERITAGE = """
    all-subnets-local arp-cache-timeout bootfile-name broadcast-address default-ip-ttl default-tcp-ttl
    domain-name-servers domain-name host-name interface-mtu log-servers lpr-servers max-dgram-reassembly
    merit-dump nis-domain nis-servers nisplus-domain nisplus-servers ntp-servers path-mtu-aging-timeout
    path-mtu-plateau-table routers smtp-server static-routes subnet-mask tcp-keepalive-interval
    tftp-server-name time-offset time-servers x-display-manager root-path domain-search
    classless-static-routes tftp-server-address captive-portal
"""


def test_every_option_of_old_is_there() -> None:
    assert [name for name in HERITAGE.split() if name not in options.BY_NAME] == []


def test_names_and_codes_are_unique_and_settable() -> None:
    assert len(options.BY_NAME) == len(options.BY_CODE)
    assert not options.OWNED & set(options.BY_CODE)
    assert set(options.ALIASES.values()) <= set(options.BY_NAME)


@pytest.mark.parametrize("name, value, code, data", GOOD)
def test_shown_values_can_be_written_again(name: str, value: Any, code: int, data: str) -> None:
    shown_name, shown = decode(code, bytes.fromhex(data))
    assert encode(shown_name, shown) == (code, bytes.fromhex(data))


@given(st.integers(0, 255), st.binary(max_size=300))
def test_display_never_fails(code: int, data: bytes) -> None:
    name, value = decode(code, data)
    assert isinstance(name, str) and value is not None


@given(st.sampled_from(sorted(options.BY_NAME)), st.binary(min_size=1, max_size=8))
def test_numbers_shown_mean_the_same_bytes(name: str, data: bytes) -> None:
    _name, value = decode(options.BY_NAME[name].code, data)
    if isinstance(value, int):  # flags too; a number out of range is shown, but could not be set
        try:
            again = encode(name, value)[1]
        except OptionError:
            return
        assert again == data


def test_compressed_search_list_rfc3397() -> None:
    """The example of the RFC: the second name points back into the first."""
    data = b"\x03eng\x05apple\x03com\x00\x09marketing\xc0\x04"
    assert decode(119, data) == ("domain-search", ["eng.apple.com", "marketing.apple.com"])


@pytest.mark.parametrize(
    "data", [b"\xc0\x00", b"\x01a\xc0\x00", b"\x01a\xc0\x05", b"\x05a", b"\xc0", b"\x40a"]
)
def test_search_lists_that_run_in_circles_or_off_the_end(data: bytes) -> None:
    assert decode(119, data) == ("domain-search", data.hex(":"))
