"""Layers joined into one profile, templates that never guess, and the library of ready scripts."""

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pxe.answers.layers import joined, profile_of
from pxe.answers.snippets import find_snippet, snippets
from pxe.errors import SettingError

NODE = {"node": {"name": "n01", "address": "10.0.0.5"}}


def test_the_layer_above_wins_key_by_key():
    made = profile_of(
        [
            {
                "language": "en_US.UTF-8",
                "root": {"locked": True, "keys": ["ssh-rsa A"]},
                "packages": {"names": ["vim"]},
            },
            {"timezone": "Europe/Prague", "packages": {"groups": ["core"]}},
            {"root": {"keys": ["ssh-rsa B"]}},
            {"hostname": "{{ node.name }}"},
        ],
        NODE,
    )
    assert made.root.locked and made.root.keys == ("ssh-rsa B",)
    assert made.packages.names == ("vim",) and made.packages.groups == ("core",)
    assert made.hostname == "n01" and made.timezone == "Europe/Prague"


@pytest.mark.parametrize(
    ("values", "field", "says"),
    [
        ({"hostname": "{{ node.nam }}"}, "hostname", "nam"),
        ({"network": [{"address": "{{ nothing }}"}]}, r"network\[0\].address", "nothing"),
        ({"hostname": "{{ node.name"}, "hostname", "unexpected"),
        ({"hostname": "{{ 1 / 0 }}"}, "hostname", "division"),
        ({"hostname": "{{ node.__class__ }}"}, "hostname", "unsafe"),
        ({"scripts": [{"snippet": "nothing"}]}, r"scripts\[0\].snippet", "there are accounts-off"),
        ({"scripts": [{"snippet": "resolv-conf"}]}, r"scripts\[0\].servers", "needs it"),
        (
            {"scripts": [{"snippet": "setuid-audit", "with": {"x": "y"}}]},
            r"scripts\[0\].x",
            "no such variable",
        ),
        ({"scripts": [{"snippet": "setuid-audit", "text": "x"}]}, r"scripts\[0\]", "give one"),
    ],
)
def test_what_cannot_be_filled_is_an_error_with_its_field(values, field, says):
    with pytest.raises(SettingError, match=f"^{field}: .*{says}"):
        profile_of([values], NODE)


def test_shell_in_scripts_stays_what_it_is():
    text = 'echo ${#name} ${a%b} {%x%} {#y#} "${list[@]}"\n'
    assert profile_of([{"scripts": [{"text": text}]}], NODE).scripts[0].text == text


def test_a_value_of_a_node_cannot_become_a_template_or_structure():
    nasty = {"node": {"name": "{{ node.secret }}", "secret": "s3"}}
    made = profile_of([{"bootloader": {"append": "{{ node.name }}"}}], nasty)
    assert made.bootloader.append == "{{ node.secret }}"


LAYER = st.recursive(
    st.dictionaries(st.sampled_from("abc"), st.integers(), max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner | st.integers(), max_size=3),
)


@given(LAYER, LAYER)
def test_all_of_the_layer_above_is_there_and_nothing_else_is_lost(below, above):
    result = joined(below, above)
    assert joined(below, {}) == below == joined({}, below) and joined(below, below) == below
    assert joined(result, above) == result
    assert set(result) == set(below) | set(above)
    for name in set(below) - set(above):
        assert result[name] == below[name]


@pytest.mark.parametrize("name", snippets())
def test_each_snippet_is_shell_that_parses_and_checks(name):
    snippet = find_snippet(name)
    script = snippet.script(dict.fromkeys(snippet.needs, "a b"))
    assert subprocess.run(["sh", "-n"], input=script, text=True).returncode == 0
    checker = ["shellcheck", "-s", "sh", "-e", "SC2034", "-"]
    done = subprocess.run(checker, input=script, text=True, capture_output=True)
    assert done.returncode == 0, done.stdout
    assert snippet.summary.endswith((".", ":"))


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
def test_a_variable_is_one_word_to_the_shell(value):
    script = find_snippet("services-off").script({"services": value}).splitlines(keepends=True)
    text = "".join(script).partition("for service in")[0] + 'printf %s "$services"'
    done = subprocess.run(["sh", "-c", text], capture_output=True, check=True)
    assert done.stdout == value.encode()


def test_the_set_uid_audit_finds_and_takes(tmp_path):
    good, bad = tmp_path / "good", tmp_path / "bad"
    for file in (good, bad):
        file.write_text("")
        file.chmod(0o4755)
    script = find_snippet("setuid-audit").script({"keep": str(good), "strip": "yes"})
    script = script.replace("find / ", f"find {tmp_path} ").replace("/var/log/", f"{tmp_path}/")
    subprocess.run(["sh", "-c", script], check=True)
    assert good.stat().st_mode & 0o4000 and not bad.stat().st_mode & 0o4000
    assert (tmp_path / "setuid-audit.log.changed").read_text() == f"taken from {bad}\n"
