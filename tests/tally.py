"""The closing line of `./run test`: what all parts passed and failed together, from pytest's JUnit files."""

import sys
import xml.etree.ElementTree as ET
from pathlib import Path


def main() -> None:
    logs, names = Path(sys.argv[1]), sys.argv[2:]
    total = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    for name in names:
        path = logs / f"{name}.xml"
        if not path.exists():
            print(f"{name}: left no result")
            total["errors"] += 1
            continue
        for part in ET.parse(path).getroot().iter("testsuite"):
            for key in total:
                total[key] += int(part.get(key, 0))
    bad = total["failures"] + total["errors"]
    good = total["tests"] - bad - total["skipped"]
    print(f"{good} passed, {bad} failed, {total['skipped']} skipped")


main()
