"""`capture`: makes this machine the next version of an image.

Law: nothing on this machine is changed, and nothing is published that has holes in it: names that could not
be read are listed at the end, and only --allow-unreadable publishes without them. When the server was
restarted in between, the capture begins again by itself; what the server has is not sent twice. Python 3.8,
standard library only.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import platform
import tempfile
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any, Callable, Dict, List

from images.agent.capture import excludes as lists
from images.agent.capture.mounts import Choice, choose, parse_mounts
from images.agent.capture.options import parse
from images.agent.capture.telling import LineTeller, Teller
from images.agent.capture.tree import Walk
from images.agent.capture.upload import Interrupted, Upload
from images.agent.client import Client, Refused
from images.errors import BadInput, ImageError
from images.manifest import Entry
from images.patterns import idle_warnings
from images.sealed import open_sealed
from images.sizes import human

BEGINNINGS = 5
SHOWN = 20  # names listed at the end


def main(arguments: List[str], server: str) -> int:
    """Captures; the version's name on standard output. Raises ImageError, OSError."""
    options = parse(arguments, server)
    if os.geteuid() != 0:
        raise BadInput("only root can read a whole machine: put sudo before python3")
    teller = LineTeller() if options.by_server else Teller()
    teller.result(attempts(options, teller, capture))
    return 0


Attempt = Callable[[argparse.Namespace, Upload, Teller], str]


def attempts(options: argparse.Namespace, teller: Teller, attempt: Attempt) -> str:
    """Tries until it is done or broken for good; the version that was made. Raises ImageError, OSError."""
    for _ in range(BEGINNINGS):
        with contextlib.suppress(Interrupted):
            return _attempt(options, teller, attempt)
        teller.say("the server was restarted: beginning again, what it has is not sent twice")
    raise BadInput("the server lost this capture too often; look at its log")


def _attempt(options: argparse.Namespace, teller: Teller, attempt: Attempt) -> str:
    client = Client(options.server, options.token, teller.say, options.give_up, options.certificate)
    upload = Upload(client)
    teller.report = upload.progress
    try:
        return attempt(options, upload, teller)
    except (ImageError, OSError) as error:
        teller.end()
        _tell_failure(upload, error)
        raise
    finally:
        upload.close()
        client.close()


def capture(options: argparse.Namespace, upload: Upload, teller: Teller) -> str:
    """One attempt; the version that was made. Raises Interrupted, Refused, ImageError, OSError."""
    root: Path = options.root
    choice = _file_systems(options)
    made_from = options.made_from or _made_from(root)
    begun = upload.begin(
        {"name": options.name, "host": options.host, "machine": _machine(root), "made_from": made_from}
    )
    excluded = _excludes(options, begun)
    teller.total = _used(root, choice)
    teller.sent = lambda: upload.sent
    since = f", beside {begun['base_ref']}" if begun.get("base_ref") else ""
    teller.say(f"capturing {root} as {begun['name']}{since}")
    for mount in choice.entered:
        teller.say(f"with {mount.where} ({mount.kind})")
    for mount in choice.left_out:
        teller.say(f"without {mount.where} ({mount.kind}): --with {mount.where} takes it along")
    entered = {Path(_below(root, mount.where)).stat().st_dev for mount in choice.entered}
    mounted = {mount.where for mount in parse_mounts(_text("/proc/self/mountinfo"), str(root))}

    def enter(path: bytes, device: int) -> bool:
        where = "/" + os.fsdecode(path)
        return device in entered or where not in mounted  # (a btrfs subvolume is no mount)

    given = dict.fromkeys(options.exclude)
    added = [each for each in given if each in excluded and each not in lists.DEFAULT]
    leaves = lists.Excludes(excluded, added)
    walk = Walk(root, leaves, enter, upload, teller.step)
    with contextlib.closing(base_of(upload, begun.get("base"))) as base:
        walk.run(base)
    upload.finish()
    teller.end()
    _judge(walk, options.allow_unreadable, teller)
    facts, idle = _facts(options, excluded, begun, choice, walk, made_from), idle_warnings(leaves.idle)
    facts["warnings"] += idle
    ref = published(upload, facts, teller)
    for line in () if options.by_server else idle:  # the server tells it with the version
        teller.say(f"warning: {line}")
    return ref


def published(upload: Upload, facts: Dict[str, Any], teller: Teller) -> str:
    """Publishes, says so, and gives the version's name."""
    result = upload.publish(facts)
    size = human(int(result["bytes"]))
    teller.say(f"{result['ref']}: {result['files']} files, {size}, {human(upload.on_wire)} sent")
    return str(result["ref"])


def _judge(walk: Walk, allowed: bool, teller: Teller) -> None:
    for what, names in (("changed while it was read", walk.changed), ("cannot be read", walk.unreadable)):
        for name in names[:SHOWN]:
            teller.say(f"{what}: {name}")
        if len(names) > SHOWN:
            teller.say(f"{what}: {len(names) - SHOWN} more")
    if walk.unreadable and not allowed:
        raise BadInput(
            f"{len(walk.unreadable)} names cannot be read, so nothing was published; leave them out with"
            " --exclude, or publish without them with --allow-unreadable"
        )


def _facts(
    options: argparse.Namespace, excluded: List[str], begun: Dict[str, Any], choice: Choice, walk: Walk,
    made_from: str,
) -> Dict[str, Any]:  # fmt: skip
    warnings = [f"{name} kept changing while it was read" for name in walk.changed]
    warnings += [f"{name} (left out)" for name in walk.unreadable]
    warnings += [f"{mount.where} ({mount.kind}) was not captured" for mount in choice.left_out]
    update = list(dict.fromkeys([*(begun.get("update_excludes") or []), *options.exclude_update]))
    return {
        "comment": options.comment,
        "capture_excludes": excluded,
        "update_excludes": update,
        "warnings": warnings,
        "captured": {
            "host": options.host, "machine": _machine(options.root), "from": made_from,
            "kernel": platform.release() if options.root == Path("/") else "", "at": int(time.time()),
        },
    }  # fmt: skip


def _excludes(options: argparse.Namespace, begun: Dict[str, Any]) -> List[str]:
    """The image's own list where it has one, else the default; more and less of it by option."""
    known = begun.get("capture_excludes") or lists.DEFAULT
    swaps = lists.swap_files(_text("/proc/swaps")) if options.root == Path("/") else ()
    wanted = [*known, *swaps, *options.exclude]
    return [each for each in dict.fromkeys(wanted) if each not in options.include]


def _file_systems(options: argparse.Namespace) -> Choice:
    mounts = parse_mounts(_text("/proc/self/mountinfo"), str(options.root))
    here = {mount.where for mount in mounts}
    for place in (*options.wanted, *options.unwanted):
        if place not in here:
            raise BadInput(f"{place} is no mounted file system (see findmnt)")
    return choose(mounts, options.wanted, options.unwanted)


def base_of(upload: Upload, id: Any) -> Generator[Entry, None, None]:
    """The manifest of the version before; nothing when there is none, or no zstd to read it with.

    It only saves work: without it, everything is asked for by its hash.
    """
    if not id:
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "base"
        try:
            path.write_bytes(upload.base())
            manifest = open_sealed(path, None, str(id))
        except ImageError:
            return
        yield from manifest.entries()


def _made_from(root: Path) -> str:
    """What this machine was imaged with, as its report unit was told."""
    for line in _text(_below(root, "/etc/bootsrv/home.conf")).splitlines():
        if line.startswith("image="):
            return line[len("image=") :].strip()
    return ""


def _machine(root: Path) -> str:
    """Tells machines apart, and nothing more: the id itself is not for others (machine-id(5))."""
    text = _text(_below(root, "/etc/machine-id")).strip()
    return hashlib.sha256(b"bootsrv capture " + text.encode()).hexdigest()[:16] if text else ""


def _used(root: Path, choice: Choice) -> int:
    """About how many bytes there are to capture: what is excluded counts here as well."""
    total = 0
    for where in ("/", *(mount.where for mount in choice.entered)):
        place = _below(root, where)
        if os.path.ismount(place):
            room = os.statvfs(place)
            total += (room.f_blocks - room.f_bfree) * room.f_frsize
        else:  # a directory: its file system holds what is none of it
            total += _sizes_below(place)
    return total


def _sizes_below(place: str) -> int:
    total = 0
    for folder, _, names in os.walk(place):
        for name in names:
            with contextlib.suppress(OSError):  # gone, or not for us: the walk that counts tells
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512  # noqa: PTH118
    return total


def _below(root: Path, where: str) -> str:
    return str(root).rstrip("/") + where


def _text(path: str) -> str:
    try:
        return Path(path).read_text("utf-8", "surrogateescape")
    except OSError:
        return ""


def _tell_failure(upload: Upload, error: Exception) -> None:
    if isinstance(error, (Refused, ConnectionError)):
        return  # the server said so itself, or is not there
    try:
        upload.fail(str(error))
    except (ImageError, OSError, Interrupted):
        return  # what matters is said here as well
