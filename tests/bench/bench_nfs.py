"""A version over NFS through our exporter beside a plain export: the same tree on a directory of this disk,
by nfs-ganesha with the five lines that its manual begins with. Reader: libnfs (nfs-cat), versions 3 and 4,
one file and many; rounds alternate, the best of each are compared.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "contract/nfs_clients"), str(HERE.parents[1])]

from nfs_rig import FRIEND, SERVER, Net  # noqa: E402

from images.importing.from_directory import import_directory  # noqa: E402
from images.store import ImageStore  # noqa: E402

MIB, FILES, ROUNDS, AIM = 256, 200, 7, 0.95
PLAIN = """NFS_CORE_PARAM {{ NFS_Port = 3049; MNT_Port = 30048; mount_path_pseudo = true; Enable_UDP = false;
 Enable_NLM = false; Enable_RQUOTA = false; }}
NFS_KRB5 {{ Active_krb5 = false; }}
NFSV4 {{ RecoveryRoot = "{home}"; Graceless = true; }}
EXPORT {{ Export_Id = 1; Path = "{tree}"; Pseudo = "/plain"; Access_Type = RO; Squash = no_root_squash;
 SecType = sys; FSAL {{ Name = VFS; }} }}
"""


class Plain:
    """nfs-ganesha by hand, in the mount namespace of ours: it needs the same rpcbind."""

    def __init__(self, net: Net, tree: Path, home: Path, beside: int) -> None:
        home.mkdir()
        conf = home / "plain.conf"
        conf.write_text(PLAIN.format(tree=tree, home=home))
        self.process = subprocess.Popen(
            ["nsenter", "-t", str(beside), "-m", "-n", "ganesha.nfsd", "-F", "-L", str(home / "log"), "-f",
             str(conf), "-p", str(home / "pid")],
        )  # fmt: skip
        until = time.monotonic() + 30
        while "NFS SERVER INITIALIZED" not in (home / "log").read_text() if (home / "log").exists() else True:
            if time.monotonic() > until or self.process.poll() is not None:
                sys.exit(f"the plain server did not start: {(home / 'log').read_text()[-300:]}")
            time.sleep(0.1)

    def close(self) -> None:
        self.process.terminate()
        self.process.wait()


def seconds(net: Net, script: str) -> float:
    began = time.monotonic()
    done = net.run("sh", "-c", script, timeout=120)
    took = time.monotonic() - began
    if done.returncode:
        sys.exit(f"nfs-cat: {done.stderr.decode().strip()[:200]}")
    return took


def script(ours: bool, version: int, many: bool) -> str:
    path, nfs, mount = ("/roots/tree@1", 2049, 20048) if ours else ("/plain", 3049, 30048)
    ports = f"nfsport={nfs}" + (f"&mountport={mount}" if version == 3 else "")
    tail = f"?version={version}&{ports}"
    if not many:
        return f"nfs-cat 'nfs://{SERVER}{path}/big{tail}' >/dev/null"
    return f'for n in $(seq {FILES}); do nfs-cat "nfs://{SERVER}{path}/f$n{tail}" >/dev/null || exit 1; done'


def cpu(pid: int) -> float:
    """Seconds of processor that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def compare(net: Net, pids: dict[bool, int], name: str, made: Callable[[bool], str]) -> None:
    took: dict[bool, list[float]] = {True: [], False: []}
    before = {ours: cpu(pid) for ours, pid in pids.items()}
    for number in range(ROUNDS + 1):
        for ours in (True, False) if number % 2 else (False, True):
            one = seconds(net, made(ours))
            if number:  # the first round fills the caches of both
                took[ours].append(one)
    ours, plain = min(took[True]), min(took[False])
    print(f"{name}: through the exporter {ours:.3f} s, plain {plain:.3f} s (best of {ROUNDS})", flush=True)
    print(f"ratio nfs-{name}/plain {plain / ours:.3f} aim >= {AIM}", flush=True)
    spent = {ours: cpu(pid) - before[ours] for ours, pid in pids.items()}
    print(f"  processor: {spent[True]:.2f} s and {spent[False]:.2f} s for all rounds", flush=True)


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="bench-nfs-") as name:
        home = Path(name)
        home.chmod(0o755)
        tree = home / "tree"
        (tree / "etc").mkdir(parents=True)
        (tree / "big").write_bytes(os.urandom(MIB << 20))
        for number in range(1, FILES + 1):
            (tree / f"f{number}").write_bytes(os.urandom(20_000))
        store = ImageStore.open(home / "store")
        import_directory(store, "tree", tree)
        (home / "nfs").mkdir()
        net = Net()
        serving = net.serve(home / "nfs")
        plain = None
        try:
            began = time.monotonic()
            serving.ask("root", store=str(home / "store"), ref="tree@1", target=str(home / "v1"))
            took = time.monotonic() - began
            print(f"a version of {MIB} MiB is written, read back and mounted in {took:.1f} s", flush=True)
            export = {"id": 1, "directory": str(home / "v1"), "path": "/roots/tree@1", "clients": [FRIEND]}
            beside = serving.ask("apply", exports=[export])
            plain = Plain(net, tree, home / "plain", beside)
            pids = {True: beside, False: plain.process.pid}
            for version in (3, 4):
                compare(net, pids, f"v{version}-sequential", lambda ours, v=version: script(ours, v, False))
            compare(net, pids, "v3-small-files", lambda ours: script(ours, 3, True))
        finally:
            if plain is not None:
                plain.close()
            serving.close()
            net.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
