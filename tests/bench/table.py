"""Runs the benches one after the other and puts what they found into one table, with what is aimed at.

    python tests/bench/table.py [NAME...]       such as bench_tftp or dhcp_peers

A bench prints what it likes, and `ratio NAME VALUE` for each comparison with a peer, or with `aim >= NUMBER`
behind it. A bench that cannot run (a peer or a tool is missing) says why in its last line, and the others go
on. Exit code 1 when one failed; an aim that is missed is a finding, no failure.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
LIMIT = 900  # seconds for one bench; each bounds itself well below
_RATIO = re.compile(r"ratio (.+?) (\d+(?:\.\d+)?)(?: aim (>=|<=) (\d+(?:\.\d+)?))?")
AIMS = (  # for benches that print no aim: beginning of the name, what is aimed at
    (r"dhcp-exchanges/dnsmasq", ">=", 15.0),
    (r"dhcp-exchanges/|nodes-", ">=", 1.0),
    (r"push\.bytes\.rsync-z", "<=", 0.5),
    (r"push\.unchanged", "<=", 0.3),
    (r"push\.wall", "<=", 1.0),
    (r"push\.server-cpu", "<=", 0.1),
    (r"deploy_speed", ">=", 0.9),
    (r"reimage_\w+_time", "<=", 0.25),
    (r"store-.*-import-speed", ">=", 2.0),
    (r"store-.*-second-speed", ">=", 1.0),
    (r"store-.*-growth", "<=", 0.6),
    (r"store-", "<=", 1.0),
)


class Row:
    """One comparison."""

    def __init__(self, found: re.Match[str]) -> None:
        self.name, self.value = found[1], float(found[2])
        self.sign, self.aim = found[3], float(found[4] or 0)
        if not self.sign:
            fitting = (row for row in AIMS if re.match(row[0], self.name))
            _, self.sign, self.aim = next(fitting, ("", "", 0.0))

    @property
    def met(self) -> str:
        if not self.sign:
            return "-"
        return "yes" if (self.value >= self.aim if self.sign == ">=" else self.value <= self.aim) else "NO"


def run(script: Path, rows: list[Row]) -> str:
    """One bench, its output shown as it comes. Why it failed, or ""."""
    until, last = time.monotonic() + LIMIT, ""
    with subprocess.Popen(
        [sys.executable, "-u", str(script)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as bench:
        assert bench.stdout is not None
        for line in bench.stdout:
            print(line, end="", flush=True)
            last = line.strip() or last
            if found := _RATIO.fullmatch(line.strip()):
                rows.append(Row(found))
            if time.monotonic() > until:
                bench.terminate()
                return f"not done after {LIMIT} s"
    return last if bench.returncode else ""


def show(rows: list[Row], failures: dict[str, str]) -> None:
    wide = max((len(row.name) for row in rows), default=0)
    print(f"\n{'compared':{wide}} {'ratio':>7}  {'aim':>7}  met")
    for row in rows:
        print(f"{row.name:{wide}} {row.value:7.2f}  {f'{row.sign} {row.aim:g}':>7}  {row.met}")
    missed = sum(row.met == "NO" for row in rows)
    print(f"{len(rows)} comparisons, {missed} below their aim")
    for name, why in failures.items():
        print(f"{name} did not come to an end: {why[:200]}")


def main() -> int:
    parts = [HERE / f"{Path(name).stem}.py" for name in sys.argv[1:]]
    if missing := [part.stem for part in parts if not part.is_file()]:
        known = ", ".join(sorted(part.stem for part in HERE.glob("*.py")))
        print(f"no bench {', '.join(missing)}; there are {known}", file=sys.stderr)
        return 2
    parts = parts or [*sorted(HERE.glob("bench_*.py")), HERE / "dhcp.py", HERE / "dhcp_peers.py"]
    rows: list[Row] = []
    failures: dict[str, str] = {}
    for part in parts:
        print(f"== {part.name}", flush=True)
        started = time.monotonic()
        if why := run(part, rows):
            failures[part.name] = why
        print(f"   {time.monotonic() - started:.0f} s", flush=True)
    show(rows, failures)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
