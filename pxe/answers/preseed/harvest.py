"""Writes the list of questions that a Debian release's installer asks, from its own packages' templates.

    python -m pxe.answers.preseed.harvest SUITE MIRROR OUT

A tool for whoever keeps this directory's lists; the service never runs it. One line a question: name, type,
and the choices where the template fixes them, separated by tabs. Only facts are kept, no descriptions.
"""

from __future__ import annotations

import hashlib
import io
import lzma
import subprocess
import sys
import tarfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

_KINDS = frozenset(("boolean", "string", "password", "select", "multiselect"))
_EXTRA = ("tasksel", "popularity-contest")  # asked for by pkgsel, but ordinary packages
_SECTIONS = ("main/debian-installer/binary-amd64", "main/binary-amd64")


def _fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310  # the maintainer names the mirror
        data: bytes = answer.read()
    return data


def _stanzas(text: str) -> Iterator[dict[str, str]]:
    for block in text.split("\n\n"):
        fields: dict[str, str] = {}
        for line in block.splitlines():
            if line[:1] not in (" ", "\t") and ":" in line:
                name, _, value = line.partition(":")
                fields[name] = value.strip()
        if fields:
            yield fields


def _templates(package: bytes) -> str:
    """The debconf templates of a package; empty when it has none."""
    done = subprocess.run(["dpkg-deb", "--ctrl-tarfile", "/dev/stdin"], input=package, capture_output=True,
                          check=True)  # fmt: skip
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        for member in archive:
            if member.name.lstrip("./") == "templates":
                file = archive.extractfile(member)
                return file.read().decode() if file else ""
    return ""


def _questions(text: str) -> Iterator[tuple[str, str, str]]:
    for fields in _stanzas(text):
        kind = fields.get("Type", "")
        if kind in _KINDS and "Template" in fields:
            choices = fields.get("Choices-C") or fields.get("Choices") or fields.get("__Choices") or ""
            yield fields["Template"], kind, "" if "${" in choices else choices


def _packages(mirror: str, suite: str) -> Iterator[dict[str, str]]:
    for number, section in enumerate(_SECTIONS):
        text = lzma.decompress(_fetch(f"{mirror}/dists/{suite}/{section}/Packages.xz")).decode()
        for package in _stanzas(text):
            name = package["Package"]
            asks = "-modules-" not in name and not name.startswith(("kernel-image", "fonts-"))
            if (number == 0 and asks) or name in _EXTRA:
                yield package


def main() -> None:
    """Fetch and write."""
    suite, mirror, out = sys.argv[1:]
    found: dict[str, tuple[str, str]] = {}
    for package in _packages(mirror, suite):
        try:
            data = _fetch(f"{mirror}/{package['Filename']}")
        except urllib.error.HTTPError as error:
            sys.stderr.write(f"{package['Package']}: not on this mirror ({error.code}), left out\n")
            continue
        if hashlib.sha256(data).hexdigest() != package["SHA256"]:
            raise SystemExit(f"{package['Package']}: damaged on the way")
        for name, kind, choices in _questions(_templates(data)):
            found[name] = (kind, choices)
    lines = [f"{name}\t{kind}\t{choices}".rstrip("\t") for name, (kind, choices) in sorted(found.items())]
    Path(out).write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
