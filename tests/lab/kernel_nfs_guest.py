"""Runs in a guest whose kernel serves NFS: our exports by it, to its own client; what it saw, as JSON.

    python3 kernel_nfs_guest.py IMAGE ADDRESS       an EROFS image, and the guest's own address
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from images.nfs import kernel, mounted
from images.nfs.export import Export

CLIENT = Path("/mnt/client")
LIMIT = 64 << 20


def mount(version: str, host: str, path: Path, kept: bool = False) -> str:
    """What went wrong, or nothing."""
    CLIENT.mkdir(exist_ok=True)
    options = f"vers={version},proto=tcp,hard,retry=0" + (",nolock" if version == "3" else "")
    done = subprocess.run(
        ["mount", "-t", "nfs", "-o", options, f"{host}:{path}", str(CLIENT)], capture_output=True, text=True
    )
    if done.returncode == 0 and not kept:
        return tried(path)
    return done.stderr.strip()


def tried(path: Path) -> str:
    try:
        if path.parent.name == "roots":
            return (CLIENT / "etc/edition").read_text()
        (CLIENT / "file").write_text("kept")
        return (path / "file").read_text()
    finally:
        subprocess.run(["umount", str(CLIENT)], check=True)


def exported() -> str:
    return subprocess.run(["exportfs", "-s"], capture_output=True, text=True, check=True).stdout


def main() -> None:
    image, own = Path(sys.argv[1]), sys.argv[2]
    said: dict[str, object] = {"runs": kernel.runs()}
    Path("/srv/admin").mkdir(parents=True, exist_ok=True)
    Path("/etc/exports").write_text("/srv/admin 10.99.0.0/24(ro,no_subtree_check,fsid=7)\n")
    subprocess.run(["exportfs", "-r"], check=True)
    server = kernel.KernelServer()
    mounted.prepare(server.mounts, "roots", "writes")
    root, writes = server.mounts / "roots/1", server.mounts / "writes/1"
    mounted.mount_root(image, root)
    mounted.mount_writes(Path("/var/tmp/w.img"), writes, LIMIT)
    rows = [Export(1, root, "/roots/tiny@1", (own,)), Export(2, writes, "/writes/1", (own,), writable=True)]
    server.apply(rows)
    for version in ("4.2", "3"):
        said[version] = [mount(version, own, root), mount(version, own, writes)]
        said[f"{version} from elsewhere"] = mount(version, "127.0.0.1", root)
    mount("3", own, writes, kept=True)
    said["before"] = (CLIENT / "file").read_text()
    server.apply(rows[:1])
    try:
        said["withdrawn"] = os.listdir(CLIENT) and (CLIENT / "new").write_text("x")
    except OSError as error:
        said["withdrawn"] = error.strerror
    subprocess.run(["umount", "-l", str(CLIENT)], check=True)
    server.apply(rows)
    said["again"] = mount("3", own, writes)
    server.close()
    said["left"] = exported()
    print(json.dumps(said))


if __name__ == "__main__":
    main()
