"""The package cache: ours beside nginx with proxy_cache and its lock, on loopback, in the same run.

    python tests/bench/bench_mirror.py [--size-mib 48] [--clients 50]

A room full of installers asks for one package at the same time, first when nobody has it, then again; and one
installer asks for many small ones. nginx is the archive. Prints seconds, how often the archive was asked, and
ratios.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import peers
from bench_http import free_port

NGINX = """
daemon off; master_process off; worker_processes 1; pid {run}/nginx.pid; error_log {run}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log {run}/access.log; sendfile on; default_type application/octet-stream;
  client_body_temp_path {run}/b; proxy_temp_path {run}/p; fastcgi_temp_path {run}/f;
  uwsgi_temp_path {run}/u; scgi_temp_path {run}/s;
  server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""
CACHE = """
daemon off; master_process off; worker_processes 1; pid {run}/nginx.pid; error_log {run}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; client_body_temp_path {run}/b; proxy_temp_path {run}/p;
  fastcgi_temp_path {run}/f; uwsgi_temp_path {run}/u; scgi_temp_path {run}/s;
  proxy_cache_path {run}/c levels=1:2 keys_zone=debs:10m max_size=10g use_temp_path=off;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://127.0.0.1:{archive}; proxy_cache debs; proxy_cache_valid 200 30d;
      proxy_cache_lock on; proxy_cache_lock_timeout 60s; proxy_cache_lock_age 60s;
    }}
  }}
}}
"""
SMALL = 300


class Archive:
    """nginx with `big.deb` and many small packages."""

    def __init__(self, home: Path, nginx: tuple[str, ...], mib: int) -> None:
        self.port, self._log = free_port(), home / "access.log"
        pool = home / "www/debian/pool"
        pool.mkdir(parents=True)
        (pool / "big_1_all.deb").write_bytes(os.urandom(1 << 20) * mib)
        for number in range(SMALL):
            (pool / f"small{number}_1_all.deb").write_bytes(os.urandom(20_000))
        config = home / "nginx.conf"
        config.write_text(NGINX.format(run=home, port=self.port, root=home / "www"))
        self.process = subprocess.Popen([*nginx, "-p", str(home), "-c", str(config)])

    def asked(self, name: str) -> int:
        return self._log.read_text().count(f"GET /debian/pool/{name} ")


def ours(home: Path, archive: int) -> tuple[list[subprocess.Popen[bytes]], str]:
    port = free_port()
    config = home / "bootsrv.toml"
    config.write_text(
        f'data_dir = "{home}/data"\n[http]\nport = {port}\n'
        f'[mirrors.debian]\nupstream = "http://127.0.0.1:{archive}/debian"\n'
    )
    command = [sys.executable, "-m", "bootsrv.cli.main", "serve", "--config", str(config)]
    log = (home / "ours.log").open("wb")
    return [subprocess.Popen(command, stderr=log)], f"http://127.0.0.1:{port}/mirror/debian"


def theirs(home: Path, archive: int, nginx: tuple[str, ...]) -> tuple[list[subprocess.Popen[bytes]], str]:
    port, run = free_port(), home / "cache"
    run.mkdir()
    (run / "nginx.conf").write_text(CACHE.format(run=run, port=port, archive=archive))
    return [
        subprocess.Popen([*nginx, "-p", str(run), "-c", str(run / "nginx.conf")])
    ], f"http://127.0.0.1:{port}/debian"


def room(url: str, clients: int) -> float:
    """Seconds until all clients have the package."""
    started = time.monotonic()
    asked = [
        subprocess.Popen(["curl", "-sSf", "-o", "/dev/null", f"{url}/pool/big_1_all.deb"])
        for _ in range(clients)
    ]
    codes = [one.wait() for one in asked]
    assert not any(codes), codes
    return time.monotonic() - started


def many(url: str) -> float:
    """Seconds for one client that fetches many small packages over one connection."""
    started = time.monotonic()
    command = ["curl", "-sSf", f"{url}/pool/small[0-{SMALL - 1}]_1_all.deb", "-o", "/dev/null"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - started


def wait_for(url: str) -> None:
    ends = time.monotonic() + 40
    while subprocess.run(["curl", "-sf", "-o", "/dev/null", f"{url}/pool/small0_1_all.deb"]).returncode:
        assert time.monotonic() < ends, f"{url} does not answer"
        time.sleep(0.2)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--size-mib", type=int, default=48)
    parser.add_argument("--clients", type=int, default=50)
    options = parser.parse_args()
    if not (nginx := peers.command("nginx")):
        sys.exit("nginx is missing")
    found: dict[str, list[float]] = {}
    for name in ("ours", "nginx"):
        with tempfile.TemporaryDirectory(prefix="bench-mirror-") as folder:
            home = Path(folder)
            archive = Archive(home, nginx, options.size_mib)
            started, url = ours(home, archive.port) if name == "ours" else theirs(home, archive.port, nginx)
            try:
                wait_for(url)
                took = [room(url, options.clients), room(url, options.clients), many(url), many(url)]
                found[name] = took
                asked = archive.asked("big_1_all.deb")
            finally:
                for process in [*started, archive.process]:
                    process.terminate()
                    process.wait(20)
        words = ", ".join(f"{what} {seconds:.2f} s" for what, seconds in zip(WHAT, took, strict=True))
        print(f"{name}: {words}; the archive was asked for the big one {asked} times", flush=True)
    for what, mine, other in zip(WHAT, found["ours"], found["nginx"], strict=True):
        print(f"ratio mirror-{what}-time/nginx {mine / other:.2f}")


WHAT = ("room-first", "room-again", "small-first", "small-again")

if __name__ == "__main__":
    main()
