"""GRUB configurations: what they say, that GRUB's own parser takes them, and that no value breaks out."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pxe import grub

KERNEL = "http://10.77.0.1:8080/tree/noble/casper/vmlinuz"
INITRD = "http://10.77.0.1:8080/tree/noble/casper/initrd"
SELF = "http://10.77.0.1:8080/boot/52-54-00-00-00-01/grub.cfg?server=10.77.0.1&retry=1"
LINE = "autoinstall ds=nocloud;s=http://10.77.0.1:8080/install/abc/ initrd=initrd"


def test_a_kernel() -> None:
    text = grub.kernel(KERNEL, [INITRD], LINE, "n1: to be installed", SELF, "the installer did not start")
    lines = text.splitlines()
    assert lines[:4] == [
        "echo 'bootsrv: n1: to be installed'",
        "linux '(http,10.77.0.1:8080)/tree/noble/casper/vmlinuz' autoinstall "
        "'ds=nocloud;s=http://10.77.0.1:8080/install/abc/' initrd=initrd",
        "initrd '(http,10.77.0.1:8080)/tree/noble/casper/initrd'",
        "boot",
    ]
    again = "configfile '(http,10.77.0.1:8080)/boot/52-54-00-00-00-01/grub.cfg?server=10.77.0.1&retry=1'"
    assert lines[-1] == again


def test_its_own_disk_is_the_firmwares_affair() -> None:
    assert grub.local("n1: its own disk").splitlines()[-1] == "exit"


@pytest.mark.parametrize("url", ["https://a/b", "http://a/b'c", "http://a/b c", "http://a b/", "http://a"])
def test_what_is_no_file_for_grub_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="GRUB"):
        grub.handover(url)


@pytest.mark.parametrize("line", ["a='b'", "a=b\nreboot", "a=ž"])
def test_a_line_that_cannot_be_quoted_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="GRUB"):
        grub.kernel(KERNEL, [], line, "", None, "")


WORDS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="'"), min_size=1)
COMMANDS = ("echo", "linux", "initrd", "boot", "sleep", "configfile")


@given(WORDS, st.text())
def test_words_stay_words_and_notes_stay_notes(word: str, note: str) -> None:
    lines = grub.kernel(KERNEL, [INITRD], f"a {word} b", note, SELF, "f").splitlines()
    found = [line for line in lines if line.startswith("linux ")]
    assert len(found) == 1 and len([line for line in lines if line == "boot"]) == 1
    inside = found[0].split(" a ", 1)[1].removesuffix(" b")
    assert inside in (word, f"'{word}'") and (inside != word or not set(word) & set(";${}&|<>\"\\#*"))
    assert all(line.split(" ")[0] in COMMANDS for line in lines)


def test_grubs_own_parser_takes_all_of_it(tmp_path: Path) -> None:
    for text in (
        grub.kernel(KERNEL, [INITRD], LINE, "it's $HOME; {", SELF, "the installer did not start"),
        grub.local("n1"), grub.message("wait & see", SELF), grub.handover(SELF),
    ):  # fmt: skip
        file = tmp_path / "grub.cfg"
        file.write_text(text)
        subprocess.run(["grub-script-check", str(file)], check=True, timeout=20)
