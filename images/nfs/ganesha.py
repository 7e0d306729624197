"""nfs-ganesha as a process of ours, with a configuration of its own and none of the system's.

Exports are added, changed and withdrawn by SIGHUP, which it takes without letting anyone wait; what it says
on stderr tells when that is done. A dead one is started again at the next look: clients pause and go on,
because file handles hold nothing that changes. Version 3 needs rpcbind at its start (ganesha ends without
it) and is left out where that cannot be had. The law: a process that we started ends with us.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

from images.disk import write_file
from images.nfs import ganesha_conf
from images.nfs.export import Export
from images.nfs.portmapper import Portmapper
from images.nfs.server import ExportFailed, tool

log = logging.getLogger(__name__)
START_SECONDS, RELOAD_SECONDS, STOP_SECONDS = 30.0, 10.0, 10.0
_READY, _RELOADED = "NFS SERVER INITIALIZED", "Reread exports complete"
_BAD = re.compile(r":(WARN|CRIT|MAJ|FATAL) :(.*)")
_NOISE = (
    "RADOS", "DBUS", "dbus", "krb5", "credentials for principal", "realm", "keytab",
    "under DIRECTORY_SERVICES",
)  # fmt: skip
_TRACE = re.compile(r"\) \[0x[0-9a-f]+\]$")  # its way of ending: the reason stands before it
_RELEASE = re.compile(r"V(\d+)\.")
MOST_LINES = 20


class Ganesha:
    """Implements `server.Server`. `home` is a directory of ours that stays over restarts."""

    name = "ganesha"

    def __init__(self, home: Path, port: int = 2049, mount_port: int = 20048) -> None:
        self._home, self.port = home, port
        self.mounts = home / "mounted"  # seen by root alone
        self._mapper = Portmapper()
        self._wanted_mount_port, self.mount_port = mount_port, mount_port
        self.versions: tuple[str, ...] = ("4.2", "3")
        self._process: subprocess.Popen[str] | None = None
        self._told = threading.Condition()
        self._said: list[str] = []
        self._seen = 0  # reloads that it has confirmed
        self._text = ""
        self._began = False

    @property
    def pid(self) -> int | None:
        """Of the running server."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def path_of(self, export: Export) -> str:
        """The same for both versions."""
        return export.path

    def apply(self, exports: Sequence[Export]) -> None:
        """Exactly these from now on. Raises ExportFailed, OSError."""
        text = ganesha_conf.exports(exports)
        if self.pid is None:
            self._write(text)
            self._start()
        elif text != self._text:
            self._write(text)
            self._reload()

    def close(self) -> None:
        """End it; clients wait for the next one."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = None
        self._mapper.close()

    def _write(self, text: str) -> None:
        write_file(self._home / ganesha_conf.EXPORTS, text.encode())
        self._text = text

    def _start(self) -> None:
        program = tool("ganesha.nfsd")
        if program is None:
            raise ExportFailed("nfs-ganesha is not installed: apt-get install nfs-ganesha nfs-ganesha-vfs")
        if self._process is not None:
            log.error("nfs-ganesha ended (exit code %s); starting it again", self._process.returncode)
        version_3 = self._mapper.ready()
        self.versions = ("4.2", "3") if version_3 else ("4.2",)
        self.mount_port = self._wanted_mount_port if version_3 else 0
        (self._home / "recovery").mkdir(exist_ok=True)
        conf = self._home / "ganesha.conf"
        text = ganesha_conf.settings(
            self._home, self.port, self._wanted_mount_port, version_3, _release(program)
        )
        write_file(conf, text.encode())
        self._said.clear()
        self._began = False
        self._process = subprocess.Popen(
            [
                "setpriv", "--pdeathsig", "KILL", "--", program, "-F", "-L", "STDERR", "-f", conf,
                "-p", self._home / "ganesha.pid",
            ],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            errors="replace", env={**os.environ, "LC_ALL": "C"},
        )  # fmt: skip
        threading.Thread(target=self._listen, args=(self._process,), name="ganesha", daemon=True).start()
        with self._told:
            self._told.wait_for(lambda: self._began or self.pid is None, START_SECONDS)
        if not self._began:
            self.close()
            raise ExportFailed(f"nfs-ganesha did not start: {self._reason()}")
        log.info("nfs-ganesha serves NFS %s on port %d", " and ".join(self.versions), self.port)

    def _reload(self) -> None:
        assert self._process is not None
        with self._told:
            before = self._seen
            self._said.clear()
            self._process.send_signal(signal.SIGHUP)
            done = self._told.wait_for(lambda: self._seen > before or self.pid is None, RELOAD_SECONDS)
        if not done or self.pid is None:
            self._text = ""  # told again at the next look
            raise ExportFailed(f"nfs-ganesha did not take its exports: {self._reason()}")

    def _reason(self) -> str:
        return "; ".join(self._said[-3:]) or "it gave no reason"

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        for line in process.stderr:
            bad = _BAD.search(line)
            with self._told:
                self._began = self._began or _READY in line
                self._seen += _RELOADED in line
                if bad and not any(word in line for word in _NOISE) and not _TRACE.search(line.rstrip()):
                    self._said = [*self._said[-MOST_LINES:], bad[2].strip()]
                    log.warning("nfs-ganesha: %s", bad[2].strip())
                self._told.notify_all()
        process.wait()
        with self._told:
            self._told.notify_all()


def _release(program: Path) -> int:
    """4 where Debian is 12, 6 where it is 13."""
    said = subprocess.run([program, "-v"], capture_output=True, text=True, check=False)
    found = _RELEASE.search(said.stdout + said.stderr)
    if found is None:
        raise ExportFailed(f"{program} -v names no release: {(said.stdout + said.stderr).strip()[:100]!r}")
    return int(found[1])
