"""What Ignition's own validator says of a config: `ignition-validate` of Debian's package `ignition`, as a
process that reads it from standard input.

It knows the specification up to 3.3, and says of a newer file only that it does not; such a file, and every
file where the program is not installed, is left to our own rules, with a warning.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from shutil import which

from pxe.answers.errors import Finding

PROGRAM, SECONDS = "ignition-validate", 20.0
_SAID = re.compile(r"(error|warning) at \$\.?(\S*), line (\d+) col \d+: (.*)")
_ONLY_WARNED = "unused key"  # what Ignition would pass over in silence is an error, and reported by us


def validate(text: str) -> list[Finding]:
    """Its errors and warnings, by path and line."""
    program = which(PROGRAM)
    if program is None:
        said = f"{PROGRAM} is not installed, so Ignition itself was not asked: apt-get install ignition"
        return [Finding(said, warning=True)]
    try:
        done = subprocess.run([program, "-"], input=text.encode(), capture_output=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return [Finding(f"{PROGRAM} did not end within {SECONDS:.0f} s")]
    said = (done.stdout + done.stderr).decode("utf-8", "replace")
    if "unsupported config version" in said:
        return [Finding(f"newer than {PROGRAM} knows, so Ignition itself was not asked", warning=True)]
    found = list(_findings(said))
    if done.returncode and not any(not one.warning for one in found):
        found.append(Finding(said.strip()[:300] or f"{PROGRAM} ended with {done.returncode}"))
    return found


def _findings(said: str) -> Iterator[Finding]:
    for line in said.splitlines():
        if (got := _SAID.match(line)) and _ONLY_WARNED not in got[4]:
            path = re.sub(r"\.(\d+)(?=\.|\Z)", r"[\1]", got[2])
            yield Finding(got[4], path, int(got[3]), got[1] == "warning")
