"""Small real packages, made by the distributions' own tools."""

from __future__ import annotations

import subprocess
from pathlib import Path


def deb(folder: Path, name: str, version: str = "1.0", depends: str = "", size: int = 1000) -> Path:
    """NAME_VERSION_all.deb with one file of `size` bytes that do not compress."""
    root = folder / f".{name}-{version}"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "usr/share" / name).mkdir(parents=True)
    with open("/dev/urandom", "rb") as random:
        (root / "usr/share" / name / "data").write_bytes(random.read(size))
    lines = [
        f"Package: {name}", f"Version: {version}", "Architecture: all", "Maintainer: t <t@example.org>",
        *([f"Depends: {depends}"] if depends else []), "Description: for a test",
    ]  # fmt: skip
    (root / "DEBIAN/control").write_text("\n".join(lines) + "\n")
    made = folder / f"{name}_{version}_all.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-b", str(root), str(made)], check=True, capture_output=True
    )
    subprocess.run(["rm", "-rf", str(root)], check=True)
    return made


def rpm(folder: Path, name: str, version: str = "1.0") -> Path:
    """NAME-VERSION-1.noarch.rpm."""
    spec = folder / f".{name}.spec"
    spec.write_text(
        f"Name: {name}\nVersion: {version}\nRelease: 1\nSummary: a test\nLicense: MIT\nBuildArch: noarch\n"
        f"%description\nfor a test\n%install\nmkdir -p %{{buildroot}}/usr/share\n"
        f"echo {version} > %{{buildroot}}/usr/share/{name}\n%files\n/usr/share/{name}\n"
    )
    tops = [
        f"--define=_topdir {folder}/.rpm",
        f"--define=_rpmdir {folder}",
        "--define=_rpmfilename %{NAME}-%{VERSION}.rpm",
    ]
    subprocess.run(["rpmbuild", "-bb", *tops, str(spec)], check=True, capture_output=True)
    return folder / f"{name}-{version}.rpm"
