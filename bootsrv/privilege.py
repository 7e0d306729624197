"""How each process gets the least it needs: `setpriv` in front of its command.

As root, with the system user `bootsrv`, a process becomes that user and keeps only the capabilities named
here; where that user cannot read our own files (a checkout below /root), it stays root without any other
capability. Otherwise it runs as we do. Whatever happens to the supervisor, the kernel ends its children with
it (PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bootsrv.config import Config

USER = "bootsrv"
CAPABILITIES: dict[str, tuple[str, ...]] = {
    "packets": ("net_bind_service", "net_raw"),
    "files": ("net_bind_service",),
    "web": (),
    "mirror": (),
    "roots": (),
    "exports": ("net_bind_service",),
    # An NFS server acts for any user of any machine, and each export is mounted from a file of its own.
    "nfs": (
        "sys_admin", "chown", "dac_override", "dac_read_search", "fowner", "fsetid", "mknod", "setuid",
        "setgid", "setpcap", "kill", "net_bind_service", "sys_resource",
    ),
    "intake": ("chown", "dac_override"),
}
AHEAD = {"packets": -5}  # niceness: a machine that boots waits milliseconds, and gives up; a page can wait
OWNERS = ("intake", "nfs")  # write the store, which is the administrator's, or mount: keep our user


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the processes run as. `user` None: as ourselves; `drop`: give up capabilities; `note`: why, for
    the log."""

    user: str | None
    drop: bool
    note: str = ""

    def command(self, role: str, argv: Sequence[str]) -> list[str]:
        """The command line of one process."""
        first = self.drop and role in AHEAD
        prefix = [*(("nice", "-n", str(AHEAD[role])) if first else ()), "setpriv", "--pdeathsig", "KILL"]
        user = None if role in OWNERS else self.user
        kept = ",".join(["-all", *(f"+{name}" for name in CAPABILITIES[role])])
        if user is not None:
            prefix += ["--reuid", user, "--regid", user, "--init-groups"]
            prefix += ["--inh-caps", kept, "--ambient-caps", kept]
        if self.drop:
            prefix += ["--bounding-set", kept, "--no-new-privs"]
            if user is None:
                prefix += ["--inh-caps", "-all"]
        return [*prefix, "--", *argv]


def choose(config: Config) -> Identity:
    """Who this server's processes are to be."""
    if os.geteuid() != 0:
        return Identity(None, drop=False)
    try:
        pwd.getpwnam(USER)
    except KeyError:
        return Identity(
            None, drop=True, note=f"there is no user {USER}: running as root without its capabilities"
        )
    blocked = _unreadable(config)
    if blocked:
        return Identity(
            None, drop=True, note=f"user {USER} cannot read {blocked}: running as root without capabilities"
        )
    return Identity(USER, drop=True)


def _unreadable(config: Config) -> str | None:
    """What of ours that user cannot reach; None when all is well."""
    look = (
        "import os, sys; import bootsrv.errors\n"
        "need = lambda p: os.R_OK | (os.X_OK if os.path.isdir(p) else 0)\n"
        "print(next((p for p in sys.argv[1:] if not os.access(p, need(p))), ''))"
    )
    places = [config.path, config.data_dir.parent, *(p for p in [config.payload_dir] if p.exists())]
    argv = [sys.executable, "-c", look, *(str(place.absolute()) for place in places)]
    base = ["setpriv", "--reuid", USER, "--regid", USER, "--init-groups", "--"]
    done = subprocess.run([*base, *argv], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return str(Path(__file__).parents[1])
    return done.stdout.strip() or None


def own(path: Path, identity: Identity) -> None:
    """Give a file or directory to the processes' user."""
    if identity.user is not None:
        entry = pwd.getpwnam(identity.user)
        os.chown(path, entry.pw_uid, entry.pw_gid)
