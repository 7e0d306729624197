"""The program around Anaconda's own parser: requests on standard input, verdicts on standard output.

A process of its own, because pykickstart is under the GPL. One JSON line each way:
`{"version": "RHEL9", "text": "..."}` -> `{"findings": [{"line": 3, "text": "...", "warning": false}]}`.
Nothing in the file is executed; %include and %ksappend are not followed.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from typing import Any

from pykickstart.errors import KickstartParseWarning
from pykickstart.parser import KickstartParser
from pykickstart.version import makeVersion

Findings = list[dict[str, Any]]


class Parser(KickstartParser):  # type: ignore[misc]  # pykickstart has no types
    """Goes on after an error, as the parser can; keeps what was wrong instead of printing it."""

    def __init__(self, version: str, findings: Findings) -> None:
        super().__init__(makeVersion(version), followIncludes=False, errorsAreFatal=False)
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


def check(version: str, text: str) -> Findings:
    """What the parser of that version says of the file."""
    findings: Findings = []
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        Parser(version, findings).readKickstartFromString(text)
    findings += [finding(one.message, 0, warning=True) for one in said
                 if isinstance(one.message, KickstartParseWarning)]  # fmt: skip
    return findings


def main() -> None:
    """Answer requests until the input ends."""
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"findings": check(request["version"], request["text"])}
        except Exception as error:  # the parser stopped altogether: that, too, is a verdict
            answer = {"findings": [finding(error, 0, warning=False)]}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
