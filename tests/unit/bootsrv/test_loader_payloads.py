"""The loaders' directory: current or not, the host's mirror, and one clear line when apt cannot."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from pathlib import Path

import pytest

from bootsrv import payloads
from pxe import loaders


def a_package(folder: Path, leave_out: str = "") -> Path:
    """A package file with every loader in it, built by dpkg-deb."""
    root = folder / "root"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN" / "control").write_text(
        "Package: ipxe\nVersion: 9\nArchitecture: all\nMaintainer: x <x@example.org>\nDescription: x\n"
    )
    for name, path in payloads.FILES.items():
        if name != leave_out:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(name.encode())
    deb = folder / "ipxe.deb"
    subprocess.run(
        ["dpkg-deb", "--build", "--root-owner-group", str(root), str(deb)], check=True, capture_output=True
    )
    return deb


def test_unpacked_loaders_are_current_until_one_is_cut(tmp_path: Path) -> None:
    out = tmp_path / "share" / "loaders"
    assert not payloads.is_current(out)
    payloads._unpack(a_package(tmp_path), out, "9")
    assert payloads.is_current(out)
    assert (out / "ipxe.efi").read_bytes() == b"ipxe.efi"
    assert json.loads((out / "manifest.json").read_text())["version"] == "9"
    assert [path.name for path in out.parent.iterdir()] == ["loaders"], "no half-made directory stays"
    (out / "snponly.efi").write_bytes(b"")
    assert not payloads.is_current(out)
    payloads._unpack(tmp_path / "ipxe.deb", out, "9")
    assert payloads.is_current(out)


def test_a_package_without_a_loader_is_refused_and_the_old_ones_stay(tmp_path: Path) -> None:
    out = tmp_path / "loaders"
    payloads._unpack(a_package(tmp_path / "good"), out, "9")
    with pytest.raises(payloads.PayloadError, match="undionly"):
        payloads._unpack(a_package(tmp_path / "bad", leave_out="undionly.kpxe"), out, "10")
    assert payloads.is_current(out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad", "good", "loaders"]


def test_every_loader_that_dhcp_names_is_fetched() -> None:
    named = {kind.loader for kind in loaders.BY_CODE.values() if kind.loader is not None}
    assert named and named <= set(payloads.FILES)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("Debian|Debian|bookworm|http://m/debian/\n", "http://m/debian/"),
        (
            "Debian|Debian-Security|s|http://s/\nDebian|Debian|bookworm-updates|http://u/\nDebian|Debian|bookworm|http://b/\n",
            "http://b/",
        ),
        ("Debian|Debian|bookworm|http://b/\nDebian|Debian|trixie|http://t/\n", "http://t/"),
        ("Vendor|Tools|stable|http://v/\n", None),
        ("", None),
    ],
)
def test_the_mirror_is_the_hosts_own(
    lines: str, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payloads, "_run", lambda command, **rest: lines)
    if expected is None:
        with pytest.raises(payloads.PayloadError, match="apt-get update"):
            payloads.mirror()
    else:
        assert payloads.mirror() == expected


def test_apts_own_complaint_is_the_one_line() -> None:
    with pytest.raises(payloads.PayloadError, match="E: Invalid operation nonsense"):
        payloads._run(["apt-get", "nonsense"])


def test_an_archive_is_read_in_memory(tmp_path: Path) -> None:
    deb = a_package(tmp_path)
    raw = subprocess.run(["dpkg-deb", "--fsys-tarfile", str(deb)], check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        assert "./usr/lib/ipxe/undionly.kpxe" in tar.getnames()
