"""NODES expressions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootsrv.errors import BootsrvError, Invalid
from bootsrv.nodeset import expand, fold


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("n1", ["n1"]),
        ("n[01-03]", ["n01", "n02", "n03"]),
        ("n[8-11]", ["n8", "n9", "n10", "n11"]),
        ("n[098-101]", ["n098", "n099", "n100", "n101"]),
        ("n[1,3,5-6]x", ["n1x", "n3x", "n5x", "n6x"]),
        ("r[1-2]n[1-2]", ["r1n1", "r1n2", "r2n1", "r2n2"]),
        ("a, b c,a", ["a", "b", "c"]),
        ("52:54:00:00:00:01", ["52:54:00:00:00:01"]),
        ("#12", ["#12"]),
        ("@rack3,n9", ["n1", "n2", "n9"]),
    ],
)
def test_expands(text: str, names: list[str]) -> None:
    assert expand(text, lambda group: {"rack3": ["n1", "n2"]}[group]) == names


@pytest.mark.parametrize(
    "text", ["", " , ", "n[1-", "n[]", "n[a-b]", "n[3-1]", "n[1-999999999]", "a/b", "n[١-٣]", "@g"]
)
def test_refuses(text: str) -> None:
    with pytest.raises(Invalid):
        expand(text)


@pytest.mark.parametrize(
    "text",
    [
        "n[1-" + "9" * 5000 + "]",  # more digits than Python turns into a number
        "n" + "[1]" * 5000,
        "n[1-199999][1-199999]",
        "n[" + ",".join(["1-199999"] * 2000) + "]",
        "n[1-2" + ",1" * 400_000,
    ],
)
@pytest.mark.timeout(20)
def test_refuses_what_would_never_end(text: str) -> None:
    with pytest.raises(Invalid):
        expand(text)


@pytest.mark.timeout(20)
def test_a_long_list_costs_what_its_length_is() -> None:
    names = [f"n{number}" for number in range(100_000)]
    assert expand(",".join(names)) == names


@given(st.text(alphabet="n0123456789[]-,@ x", max_size=20))
def test_any_text_is_names_or_invalid(text: str) -> None:
    try:
        names = expand(text)
    except BootsrvError:
        return
    assert names


@given(st.lists(st.from_regex(r"[a-z]{1,3}[0-9]{1,3}", fullmatch=True), min_size=1, unique=True))
def test_folding_loses_nothing(names: list[str]) -> None:
    assert expand(fold(names)) == names
