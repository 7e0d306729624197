"""What installers tell, as steps of a node's story. Pure: text in, events out.

Three sources: our own callbacks in the answer files, the webhook of Ubuntu's installer (curtin's reporting),
and lines of the log that Debian's and Red Hat's send over the network. What is not understood is no step.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bootsrv.calls import Refused
from pxe.http.ports import NodeRequest

MOST_LOG, MOST_REPORT = 256 * 1024, 64 * 1024
_CONTROL = re.compile(r"[^\n\t\x20-\x7e\xa0-\U0010ffff]")
_SAID = {
    "started": "the installer has its answers and runs",
    "done": "installed; restarts from its own disk",
    "failed": "the installer gave up",
}
# Debian's menu, in the words of a person.
MENU = {
    "netcfg": "network", "network-preseed": "answers", "choose-mirror": "mirror",
    "download-installer": "installer's parts", "user-setup-udeb": "accounts", "clock-setup": "clock",
    "disk-detect": "disks", "partman-base": "partitions", "bootstrap-base": "base system",
    "apt-setup-udeb": "package sources", "pkgsel": "packages", "grub-installer": "boot loader",
    "nobootloader": "boot loader", "finish-install": "finishing",
}  # fmt: skip
_SELECTED = re.compile(r"INFO: Menu item '([a-z0-9-]{1,40})' selected")
_BROKEN = re.compile(r"WARNING \*\*: Configuring '([a-z0-9-]{1,40})' failed with error code (\d{1,3})")
# What waits for a person to press a key, long before the menu says so.
_STUCK = re.compile(r"error: exiting on error (\S{1,100})|error: (Running 'grub-install.{1,200})")
_BACK = "10"  # debconf: the user went back; the menu goes on with something else
_ANACONDA = (
    (re.compile(r"Installing boot loader|Task started: Install boot ?loader", re.I), "boot loader"),
    (
        re.compile(r"Task started: Install(?:ing)? the payload|Starting package installation", re.I),
        "packages",
    ),
    (re.compile(r"Task started: Partition|Creating disklabel on", re.I), "partitions"),
    (re.compile(r"Performing post-installation setup|Running post-installation scripts", re.I), "finishing"),
)
_ANACONDA_FAILED = re.compile(r"Thread Failed: (\S{1,60})|An unknown error has occurred|"
                              r"anaconda \S+ exception report")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tale:
    """One step; `kind` "" is none, but perhaps a piece of `log`."""

    kind: str
    text: str
    data: Mapping[str, Any] = field(default_factory=dict)
    log: str = ""

    @classmethod
    def told(cls, kind: str, request: NodeRequest) -> list[Tale]:
        """Of a callback. Raises Refused."""
        if kind == "log":
            return [cls("", "", {}, clean(request.body, MOST_LOG))]
        if kind == "report":
            return report(request.body)
        if kind == "step":
            return [cls("install.step", clean(request.query.get("text", "").encode(), 200))]
        if kind not in _SAID:
            raise Refused(404, "no such call")
        event = "install.step" if kind == "started" else f"install.{kind}"
        said = clean(request.query.get("error", "").encode(), 500)
        data = {"step": "installer", "error": said or _SAID[kind]} if kind == "failed" else {}
        return [cls(event, said or _SAID[kind], data)]


def clean(text: bytes, limit: int) -> str:
    """Text of a stranger, without what steers terminals. Raises Refused when it is too long."""
    if len(text) > limit:
        raise Refused(413, f"more than {limit} bytes")
    return _CONTROL.sub("", text.decode("utf-8", "replace"))


def report(body: bytes) -> list[Tale]:
    """One event of curtin's or subiquity's webhook. Raises Refused."""
    if len(body) > MOST_REPORT:
        raise Refused(413, f"more than {MOST_REPORT} bytes")
    try:
        event = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused(400, "not valid JSON") from error
    if not isinstance(event, dict):
        raise Refused(400, "not a JSON object")
    name, what = (clean(str(event.get(key) or "").encode(), 4000)[:200] for key in ("name", "description"))
    line = f"{name}: {what}" if what else name
    if event.get("event_type") == "finish" and event.get("result") == "FAIL" and name.count("/") <= 1:
        return [Tale("install.failed", line, {"step": name, "error": what or "failed"}, f"{line}\n")]
    deep = name.count("/") > 2 or event.get("event_type") != "start"
    return [Tale("" if deep else "install.step", line, {"step": name}, f"{line}\n")]


def line(program: str, text: str) -> Tale | None:
    """What a line of an installer's log means for the story; None: nothing."""
    if program == "main-menu":
        if found := _SELECTED.search(text):
            name = MENU.get(found[1], found[1])
            return Tale("install.step", name, {"step": found[1]})
        found = _BROKEN.search(text)
        if found and found[2] != _BACK:
            name = MENU.get(found[1], found[1])
            error = f"{found[1]} failed with error code {found[2]}; its log says why"
            return Tale("install.failed", f"{name}: {error}", {"step": name, "error": error})
        return None
    if program in ("base-installer", "grub-installer") and (found := _STUCK.match(text)):
        error = f"{found[1] or found[2]}; its log says why"
        return Tale("install.failed", f"{program}: {error}", {"step": program, "error": error})
    if program in ("anaconda", "org.fedoraproject.Anaconda", "packaging", "program", "storage"):
        if _ANACONDA_FAILED.search(text):
            return Tale("install.failed", text[:300], {"step": "anaconda", "error": text[:300]})
        for pattern, name in _ANACONDA:
            if pattern.search(text):
                return Tale("install.step", name, {"step": name})
    return None
