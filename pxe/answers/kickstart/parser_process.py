"""The program around Anaconda's own parser: requests on standard input, verdicts on standard output.

A process of its own, because pykickstart is under the GPL. One JSON line each way:
`{"version": "RHEL9", "text": "..."}` -> `{"findings": [{"line": 3, "text": "...", "warning": false}]}`.
Nothing in the file is executed; %include and %ksappend are not followed. A version's own parser takes
20 ms to build and cannot be used twice: it is built once, and each file has a copy of this process, by fork.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from pykickstart.errors import KickstartParseWarning
from pykickstart.parser import KickstartParser
from pykickstart.version import makeVersion

Findings = list[dict[str, Any]]


class Parser(KickstartParser):  # type: ignore[misc]  # pykickstart has no types
    """Goes on after an error, as the parser can; keeps what was wrong instead of printing it."""

    def __init__(self, handler: Any, findings: Findings) -> None:
        super().__init__(handler, followIncludes=False, errorsAreFatal=False)
        self._found = findings

    def _tryFunc(self, fn: Callable[[], None]) -> None:
        try:
            fn()
        except Exception as error:  # whatever it raises is its verdict on this line
            self._found.append(finding(error, getattr(self, "_lineno", 0), warning=False))


def finding(error: Any, line: int, warning: bool) -> dict[str, Any]:
    """One verdict as it is sent."""
    text = str(getattr(error, "message", None) or error).strip()
    return {"line": getattr(error, "lineno", None) or line, "text": text, "warning": warning}


@cache
def _handler(version: str) -> Any:
    made = makeVersion(version)
    gc.freeze()  # so that the copies share its memory
    return made


def check(version: str, text: str) -> Findings:
    """What the parser of that version says of the file; once in a process."""
    findings: Findings = []
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        parser = Parser(_handler(version), findings)
        try:
            parser.readKickstartFromString(text)
        except Exception as error:  # it stopped there; what it said before counts
            findings.append(finding(error, _reached(parser, text), warning=False))
    findings += [finding(one.message, 0, warning=True) for one in said
                 if isinstance(one.message, KickstartParseWarning) and not _idle(one, text)]  # fmt: skip
    return findings


def _reached(parser: Any, text: str) -> int:
    """The number of the line that a parser read last, the first of those that say the same; 0: unknown."""
    last = str(getattr(parser, "_line", "")).strip()
    lines = [line.strip() for line in text.splitlines()]
    return lines.index(last) + 1 if last in lines else 0


def _idle(said: warnings.WarningMessage, text: str) -> bool:
    """Two keys of one account, and a VLAN beside the device that it is on, are no mistake."""
    at = Path(said.filename).name
    return at == "sshkey.py" or (at == "network.py" and "--vlanid" in text)


def main() -> None:
    """Answer requests until the input ends."""
    for line in sys.stdin:
        request = json.loads(line)
        try:
            _handler(request["version"])
        except Exception as error:  # there is no such version
            sys.stdout.write(_answer([finding(error, 0, warning=False)]))
        else:
            sys.stdout.write(_in_a_copy(request["version"], request["text"]))
        sys.stdout.flush()


def _in_a_copy(version: str, text: str) -> str:
    """The answer's line; empty when the copy died, which ends the answer and so is no verdict."""
    mine, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            found = check(version, text)
        except Exception as error:  # the parser stopped altogether: that, too, is a verdict
            found = [finding(error, 0, warning=False)]
        with os.fdopen(theirs, "w") as out:
            out.write(_answer(found))
        os._exit(0)
    os.close(theirs)
    with os.fdopen(mine) as answer:
        line = answer.read()
    os.waitpid(child, 0)
    if not line:
        raise SystemExit(1)
    return line


def _answer(findings: Findings) -> str:
    return json.dumps({"findings": findings}) + "\n"


if __name__ == "__main__":
    main()
