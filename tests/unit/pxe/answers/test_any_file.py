"""Whatever a file holds, its check ends with findings, never with a crash."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pxe.answers.autoyast.check import check as check_autoyast
from pxe.answers.autoyast.xml import CONFIG, SPACE
from pxe.answers.cloud.check import check as check_autoinstall
from pxe.answers.cloud.nocloud_check import check as check_nocloud
from pxe.answers.ignition.check import check as check_ignition
from pxe.answers.preseed.check import check as check_preseed

HEAD = f'<profile xmlns="{SPACE}" xmlns:config="{CONFIG}">'
YAML = (
    "users",
    ":",
    " ",
    "\n",
    "- ",
    "&a ",
    "*a",
    "[",
    "]",
    "{",
    "}",
    "|",
    "3",
    "!!set",
    "runcmd: ",
    "? ",
    "<<: ",
)
JSON = (
    "{",
    "}",
    '"ignition"',
    ":",
    '"version"',
    '"3.4.0"',
    "[",
    "]",
    ",",
    "null",
    '"storage"',
    '"files"',
    "1e999",
)
XML = (
    HEAD, "</profile>", "<users>", "</users>", "<user/>", "&lt;", "&a;", "<!DOCTYPE a [<!ENTITY a 'b'>]>",
    ' config:type="list"', "<general>", "</general>", "<!--", "]]>", "\n",
)  # fmt: skip
PIECES = {"yaml": YAML, "json": JSON, "xml": XML}


def made_of(kind):
    return st.lists(st.sampled_from(PIECES[kind]) | st.text(max_size=4), max_size=14).map("".join)


@given(made_of("yaml"))
def test_cloud_configs(text):
    for check in (check_nocloud, check_autoinstall):
        check(f"#cloud-config\n{text}")
        check(f"#cloud-config\nautoinstall: {text}")
        check(text)


@given(made_of("json"))
def test_ignition_configs(text):
    check_ignition(text)


@given(made_of("xml"))
def test_autoyast_profiles(text):
    check_autoyast(text)
    check_autoyast(f"{HEAD}{text}</profile>")


@given(st.text())
def test_preseeds(text):
    check_preseed(text, 13)


@pytest.mark.parametrize("text", ["a: &a [*a]\n", "users: &a\n- *a\n", "runcmd: &a [[x]]\nbootcmd: *a\n"])
def test_anchors(text):
    found = check_nocloud(f"#cloud-config\n{text}")
    assert bool(found) == ("[[x]]" not in text)


def test_anchors_of_anchors_take_no_time():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    assert check_nocloud("#cloud-config\n" + "\n".join(lines))
