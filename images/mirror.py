"""Where Debian's packages come from: the mirrors this host's own apt uses, and the keys that vouch for them.

No host name is written here: what `apt-get indextargets` lists for Debian is asked for another suite of the
same archive. The law: nothing is fetched that a key in Debian's own keyring did not sign.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from images.errors import BadInput

KEYRINGS = Path("/usr/share/keyrings")
KEYRING = KEYRINGS / "debian-archive-keyring.gpg"


@dataclass(frozen=True)
class Mirrors:
    """Base addresses; `security` is None where the host has no such source."""

    main: str
    security: str | None


def host_mirrors() -> Mirrors:
    """The host's Debian mirrors. BadInput when its apt knows none."""
    command = ["apt-get", "indextargets", "--format", "$(LABEL)|$(ORIGIN)|$(COMPONENT)|$(REPO_URI)"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise BadInput(f"apt-get indextargets failed: {done.stderr.strip()[-300:]}")
    return parse_targets(done.stdout.splitlines())


def parse_targets(lines: Iterable[str]) -> Mirrors:
    """From lines `label|origin|component|uri`."""
    main = security = None
    for line in lines:
        label, origin, component, uri = (*line.split("|", 3), "", "", "")[:4]
        if origin != "Debian" or component != "main" or not uri:
            continue
        if label == "Debian":
            main = main or uri
        elif label == "Debian-Security":
            security = security or uri
    if main is None:
        raise BadInput("this host's apt has no Debian source; run `apt-get update` or add one to its sources")
    return Mirrors(main, security)


def sources(suite: str, mirrors: Mirrors, components: str = "main") -> list[str]:
    """Lines for sources.list (and for mmdebstrap) for one suite and its security updates."""
    lines = [f"deb {mirrors.main} {suite} {components}"]
    if mirrors.security and suite not in ("sid", "unstable"):
        lines.append(f"deb {mirrors.security} {suite}-security {components}")
    return lines


def signed_suites(wanted: Iterable[str], keyrings: Path = KEYRINGS) -> list[str]:
    """Those suites whose keys this host has, in the order given; an old keyring cannot vouch for new ones."""
    return [s for s in wanted if any(keyrings.glob(f"debian-archive-{s}-*.gpg"))]
