from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pxe.dhcp.subnet import Pool, Subnet
from webui.choices import image_choices, next_address
from webui.forms import Form, field_of, sentence
from webui.throttle import Throttle

FIELDS = ("name", "mac", "address", "image")


@pytest.mark.parametrize(
    ("error", "field"),
    [
        ("name n1 is taken (by a node without a MAC)", "name"),
        ("'zz' is not a MAC address such as 52:54:00:00:00:01", "mac"),
        ("MAC 52:54:00:00:00:01 belongs to n1", "mac"),
        ("'10.77.0' is not an IPv4 address", "address"),
        ("address 10.78.0.1 is in no subnet of this server (10.77.0.0/24)", "address"),
        ("address method reserved needs an address", "address"),
        ("there is no image 'name'", "image"),
        ("name 'mac!': use 1 to 63 letters, digits and hyphens, no hyphen at either end", "name"),
        ("something else entirely", ""),
    ],
)
def test_an_error_finds_its_field(error: str, field: str) -> None:
    assert field_of(error, FIELDS) == field


def test_an_error_of_a_range_finds_its_field() -> None:
    fields = ("base", "last", "address", "image")
    assert field_of("name 'n_1': use 1 to 63 letters", fields) == "base"
    assert field_of("'n[9-3]': '9-3' runs backwards", fields) == "last"
    assert field_of("a range of 20000 nodes; at most 10000 at once", fields) == "last"


def test_sentences() -> None:
    assert sentence("name n1 is taken") == "Name n1 is taken."
    assert sentence("Really?") == "Really?"


def test_a_form_keeps_the_first_error_and_the_text() -> None:
    form = Form({"name": "  n1 "})
    form.refuse("name", "first")
    form.refuse("name", "second")
    assert (form.value("name"), form.error("name"), form.good) == ("n1", "first", False)


SUBNET = Subnet(
    IPv4Network("10.77.0.0/24"),
    pools=(Pool(IPv4Address("10.77.0.20"), IPv4Address("10.77.0.29")),),
    routers=(IPv4Address("10.77.0.1"),),
)


def addresses(*last: int) -> list[IPv4Address]:
    return [IPv4Address(f"10.77.0.{number}") for number in last]


@pytest.mark.parametrize(
    ("taken", "expected"), [((), 11), ((11, 12), 13), ((11, 19), 30), ((254,), 2), ((11, 15), 16)]
)
def test_the_next_address(taken: tuple[int, ...], expected: int) -> None:
    assert next_address([SUBNET], addresses(*taken)) == IPv4Address(f"10.77.0.{expected}")


def test_no_address_is_left() -> None:
    tiny = Subnet(IPv4Network("10.1.0.0/30"), routers=(IPv4Address("10.1.0.1"),))
    assert next_address([tiny], [IPv4Address("10.1.0.2")]) is None
    assert next_address([], []) is None


@given(st.sets(st.integers(1, 254)))
def test_a_suggested_address_is_always_free_and_usable(taken: set[int]) -> None:
    found = next_address([SUBNET], addresses(*taken))
    usable = set(range(2, 255)) - set(range(20, 30)) - taken
    assert (found is None) == (not usable)
    assert found is None or int(found) & 255 in usable


def test_an_image_that_is_gone_stays_selectable_so_that_nothing_changes_silently() -> None:
    assert image_choices([], "none", "old@3")[-1] == ("old@3", "old@3 (not in the store any more)")


def test_the_throttle_lets_a_few_through_and_then_doubles() -> None:
    throttle = Throttle(free=3, first=2.0, longest=10.0)
    for _ in range(3):
        assert throttle.wait("a", 100.0) == 0.0
        throttle.failed("a", 100.0)
    waits = []
    for _ in range(4):
        waits.append(throttle.wait("a", 100.0))
        throttle.failed("a", 100.0)
    assert waits == [2.0, 4.0, 8.0, 10.0]
    assert throttle.wait("b", 100.0) == 0.0
    assert throttle.wait("a", 111.0) == 0.0


def test_the_throttle_forgets_after_success_and_after_a_long_time() -> None:
    throttle = Throttle(free=1, first=2.0, longest=10.0)
    throttle.failed("a", 0.0)
    assert throttle.wait("a", 0.0) > 0
    throttle.passed("a")
    assert throttle.wait("a", 0.0) == 0.0
    for _ in range(9):
        throttle.failed("a", 1.0)
    throttle.failed("a", 1000.0)
    assert throttle.wait("a", 1000.0) == 2.0


def test_the_throttle_does_not_grow_without_bound() -> None:
    throttle = Throttle(entries=100)
    for number in range(1000):
        throttle.failed(str(number), 0.0)
    assert len(throttle._failures) == 100
