"""Builds the imager: the small RAM system that runs on a node, from Debian packages to vmlinuz + initrd.img.

    python -m images.imager.build --out DIR

mmdebstrap only downloads, checks and unpacks (variant "extract": no maintainer script runs), contents.toml
says what is kept, and the result is proved in a chroot before it is packed. The law: unchanged inputs build
nothing, and DIR never holds half an imager (manifest.json is written last).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from images.agent.sources import agent_files
from images.errors import BadInput, ImageError
from images.imager import modules
from images.imager.contents import Contents, load, select
from images.imager.overlay import HOME, MAIN, START
from images.imager.pack import pack
from images.mirror import KEYRING, host_mirrors, signed_suites, sources
from images.workplace import workplace

HERE = Path(__file__).parent
SUITES = ("trixie", "bookworm")  # newest first
MANIFEST = "manifest.json"
Say = Callable[[str], None]
T = TypeVar("T")
# What the agent imports: proved here, in the finished tree, and not by a node in the field.
PROOF = (
    "import http.client, json, hashlib, ctypes, threading, queue, subprocess, base64, struct, select, fcntl, "
    "concurrent.futures, zipimport, dataclasses, random, stat, os; hashlib.sha256(b''); "
    "ctypes.CDLL('libzstd.so.1'); ctypes.CDLL('libcrypto.so.3'); "
    "import sys; sys.path.append('/usr/lib/python3/dist-packages'); import pyudev; pyudev.Context()"
)


def inputs_hash(suite: str) -> str:
    """Names everything the result depends on, except what Debian publishes in the meantime."""
    state = hashlib.sha256(suite.encode())
    for path in sorted(HERE.iterdir()):
        if path.is_file() and path.name != "overlay.py":
            state.update(path.name.encode() + b"\0" + path.read_bytes())
    return state.hexdigest()


def build(out: Path, force: bool = False, say: Say = print) -> dict[str, Any]:
    """Builds into `out` unless it is there already; returns the manifest. Raises ImageError or OSError."""
    suites = signed_suites(SUITES)
    if not suites:
        raise BadInput(f"none of {', '.join(SUITES)} can be verified: apt-get install debian-archive-keyring")
    suite, inputs = suites[0], inputs_hash(suites[0])
    old = read_manifest(out)
    if (
        not force
        and old.get("inputs") == inputs
        and all((out / n).exists() for n in ("vmlinuz", "initrd.img"))
    ):
        say(f"imager: up to date ({old['suite']}, kernel {old['kernel']}, {old['initrd_bytes'] >> 20} MiB)")
        return old
    if shutil.which("mmdebstrap") is None:
        raise BadInput("mmdebstrap is missing: apt-get install mmdebstrap")
    contents = load()
    with workplace("imager", Path(tempfile.gettempdir())) as work:
        root, stage = work / "root", work / "stage"
        _timed(say, f"fetch and unpack {suite}", lambda: fetch(root, suite, contents))
        version = modules.kernel_version(root)
        _timed(say, "choose files and modules", lambda: make_stage(root, stage, version, contents))
        _timed(say, "prove that it runs", lambda: prove(stage, contents))
        manifest = _timed(say, "pack", lambda: finish(root, stage, out, version))
    manifest |= {"inputs": inputs, "suite": suite, "kernel": version, "format": 1}
    _write(out / MANIFEST, json.dumps(manifest, indent=1).encode())
    say(f"imager: kernel {version}, initrd {manifest['initrd_bytes'] / 1e6:.1f} MB")
    return manifest


def read_manifest(out: Path) -> dict[str, Any]:
    """The manifest of what is in `out`; empty when there is none or it cannot be read as one."""
    try:
        data = json.loads((out / MANIFEST).read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def fetch(root: Path, suite: str, contents: Contents) -> None:
    """Downloads, verifies and unpacks the packages with all they depend on."""
    command = ["mmdebstrap", "--quiet", "--variant=extract", "--format=directory", f"--keyring={KEYRING}"]
    command += ["--include=" + ",".join(contents.packages), suite, str(root), *sources(suite, host_mirrors())]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C.UTF-8"})
    if done.returncode:
        raise BadInput(f"mmdebstrap failed: {' '.join(done.stderr.split()[-60:])}")
    for name, target in contents.links.items():
        if "/" not in name and not (root / name).exists():
            (root / name).symlink_to(target)


def make_stage(root: Path, stage: Path, version: str, contents: Contents) -> None:
    """The tree as the node will see it."""
    chroot(root, "depmod", version)
    for name in contents.directories:
        (stage / name).mkdir(parents=True, exist_ok=True)
    for path in sorted(select(root, contents)):
        target = stage / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / path, target, follow_symlinks=False)
    for name, link in contents.links.items():
        (stage / name).parent.mkdir(parents=True, exist_ok=True)
        (stage / name).symlink_to(link)
    for applet in contents.applets:
        target = stage / "usr/bin" / applet
        if not target.is_symlink() and not target.exists() and not (stage / "usr/sbin" / applet).exists():
            target.symlink_to("busybox")
    modules.stage(root, stage / "usr/lib/modules" / version, version, contents)
    chroot(stage, "depmod", version)
    for name, place in (("init", "init"), ("udhcpc.script", "usr/lib/bootsrv/udhcpc.script")):
        (stage / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(HERE / name, stage / place)
        (stage / place).chmod(0o755)
    _write(stage / "etc/bootsrv/imager", f"linux {version}, {inputs_hash('')[:8]}\n".encode())
    _write(stage / "etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n")
    _write(stage / "etc/group", b"root:x:0:\ntty:x:5:\ndisk:x:6:\n")


def prove(stage: Path, contents: Contents) -> None:
    """Compiles Python, then runs what a node runs, in a chroot: a broken imager is never published."""
    python = next(p.name for p in sorted((stage / "usr/bin").glob("python3.*")))
    folders = [f"/usr/lib/{python}", "/usr/lib/python3/dist-packages"]
    # Source-less and unchecked: half the files, no stat calls, and nothing to compile on a slow machine.
    chroot(
        stage, python, "-S", "-m", "compileall", "-q", "-b", "--invalidation-mode", "unchecked-hash", *folders
    )
    for source in (stage / "usr/lib").glob("python3*/**/*.py"):
        source.unlink()
    _compile_agent(stage, python)
    if not (stage / "usr/bin/python3").exists():
        (stage / "usr/bin/python3").symlink_to(python)
    chroot(stage, "python3", "-E", "-S", "-c", PROOF)
    loader = "/" + str(next(stage.glob("usr/lib64/ld-linux*")).relative_to(stage))
    for program in sorted((*stage.glob("usr/bin/*"), *stage.glob("usr/sbin/*"))):
        if program.read_bytes()[:4] == b"\x7fELF" and not program.is_symlink() and program.name != "busybox":
            chroot(stage, loader, "--list", "/" + str(program.relative_to(stage)))
    chroot(stage, "busybox", "udhcpc", "--help")


def _compile_agent(stage: Path, python: str) -> None:
    """Leaves compiled files of today's agent behind (PEP 552, checked by the source's hash, not its time).

    The overlay brings the sources. Those that are still the same start without compiling, which takes
    seconds on a slow machine; changed ones are compiled there. So a change of the agent needs no new
    imager, only likes one.
    """
    home = stage / HOME
    sources = {**agent_files(START), "__main__.py": MAIN}
    for name, source in sources.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_bytes(source)
    chroot(stage, python, "-S", "-m", "compileall", "-q", "--invalidation-mode", "checked-hash", f"/{HOME}")
    for name in sources:
        (home / name).unlink()


def chroot(root: Path, *command: str) -> None:
    """Runs a program of the tree inside it; BadInput with its last words when it fails."""
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(["chroot", str(root), *command], capture_output=True, text=True, env=env)
    if done.returncode:
        raise BadInput(f"imager: {' '.join(command)[:120]} failed: {done.stderr.strip()[-400:]}")


def finish(root: Path, stage: Path, out: Path, version: str) -> dict[str, Any]:
    """Writes kernel and initrd to `out`, each whole or not at all."""
    out.mkdir(parents=True, exist_ok=True)
    (out / MANIFEST).unlink(missing_ok=True)
    kernel = (root / "boot" / f"vmlinuz-{version}").read_bytes()
    _write(out / "vmlinuz", kernel)
    unpacked, files, digest, size = pack(stage, out / "initrd.img")
    python = next(p.name for p in sorted((stage / "usr/bin").glob("python3.*")))
    return {
        "files": files,
        "initrd_bytes": size,
        "initrd_sha256": digest,
        "python": python.removeprefix("python"),
        "unpacked_bytes": unpacked,
        "vmlinuz_bytes": len(kernel),
        "vmlinuz_sha256": hashlib.sha256(kernel).hexdigest(),
    }


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_name(path.name + ".new")
    temporary.write_bytes(data)
    temporary.replace(path)


def _timed(say: Say, what: str, work: Callable[[], T]) -> T:
    start = time.monotonic()
    result = work()
    say(f"imager: {what}: {time.monotonic() - start:.1f} s")
    return result


def main() -> int:
    """Command line; 0 built or up to date, 1 failed with one line on stderr."""
    parser = argparse.ArgumentParser(prog="python -m images.imager.build", description="Build the imager.")
    parser.add_argument(
        "--out", type=Path, required=True, help="directory for vmlinuz, initrd.img, manifest.json"
    )
    parser.add_argument(
        "--force", action="store_true", help="build even when nothing changed (newer packages)"
    )
    args = parser.parse_args()
    try:
        build(args.out, args.force, lambda line: print(line, flush=True))  # noqa: T201
    except ImageError as error:
        print(f"imager: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
