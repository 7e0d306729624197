"""The unit in the imaged system: its script is run for real, by each of the four ways it can speak HTTP."""

import http.server
import os
import shutil
import stat
import subprocess
import sys
import threading
from urllib.parse import parse_qs

import pytest

from images.agent import home
from images.agent.rootfs import Root


@pytest.fixture
def server():
    """Refuses the first two calls, then takes them."""
    calls = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            calls.append((self.path, self.headers["Authorization"], body))
            self.send_response(503 if len(calls) < 2 else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running.server_port, calls
        running.shutdown()


def run_with(tool, tmp_path, port, text):
    """Run a script of ours where that is the only program that speaks HTTP."""
    if shutil.which(tool) is None:
        pytest.fail(f"{tool} is needed for this test")
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    for name in {tool, "sh", "sleep", "cat"}:
        real = os.path.realpath(sys.executable) if name == "python3" else shutil.which(name)
        (bin_ / name).symlink_to(real)
    conf = tmp_path / "home.conf"
    conf.write_text(f"url=http://127.0.0.1:{port}/node/v1/home\ntoken=se=cret\nimage=debian+x@3\n")
    (tmp_path / "script").write_text(text.replace("conf=/etc/bootsrv/home.conf", f"conf={conf}"))
    return subprocess.run(
        [shutil.which("dash") or "sh", str(tmp_path / "script")],
        env={"PATH": str(bin_)}, timeout=40, capture_output=True, text=True,
    )  # fmt: skip


TOOLS = pytest.mark.parametrize("tool", ["curl", "python3", "bash", "wget"])


@TOOLS
def test_calls_home_with_whatever_there_is(tmp_path, server, tool):
    port, calls = server
    done = run_with(tool, tmp_path, port, home.SCRIPT_TEXT)
    assert done.returncode == 0, done.stderr
    assert len(calls) == 2
    path, token, body = calls[-1]
    said = {k: v[0] for k, v in parse_qs(body).items()}
    assert path == "/node/v1/home" and token == "Bearer se=cret"
    assert said["image"] == "debian+x@3" and said["kernel"] == os.uname().release
    assert (
        said["hostname"] == os.uname().nodename and float(said["uptime"]) > 0 and len(said["boot_id"]) == 36
    )


@TOOLS
def test_a_script_that_says_something_else_is_heard_elsewhere(tmp_path, server, tool):
    port, calls = server
    more = "url=${url%/home}/room\nsend used=1 || send used=2\n"
    done = run_with(tool, tmp_path, port, home.FUNCTIONS + more)
    assert done.returncode == 0, done.stderr
    assert calls[-1] == ("/node/v1/room", "Bearer se=cret", "used=2")


def test_install_on_systemd_keeps_the_token_to_root(tmp_path):
    (tmp_path / "usr/lib/systemd").mkdir(parents=True)
    (tmp_path / "usr/lib/systemd/systemd").write_text("")
    assert home.install(Root(tmp_path), "http://10.0.0.1:8080/node/v1/home", "T", "debian@1") == "systemd"
    conf = tmp_path / "etc/bootsrv/home.conf"
    assert stat.S_IMODE(conf.stat().st_mode) == 0o600 and "token=T" in conf.read_text()
    assert stat.S_IMODE(conf.parent.stat().st_mode) == 0o700
    wanted = tmp_path / "etc/systemd/system/multi-user.target.wants" / home.UNIT
    assert os.readlink(wanted) == f"/etc/systemd/system/{home.UNIT}"


def test_install_on_openrc(tmp_path):
    (tmp_path / "etc/runlevels/default").mkdir(parents=True)
    assert home.install(Root(tmp_path), "u", "t", "i@1") == "openrc"
    assert (tmp_path / "etc/local.d/bootsrv.start").stat().st_mode & 0o111


def test_install_on_rc_local_once(tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/rc.local").write_text("#!/bin/sh\necho hi\nexit 0\n")
    root = Root(tmp_path)
    assert home.install(root, "u", "t", "i@1") == "rc.local"
    home.install(root, "u", "t", "i@1")
    assert (tmp_path / "etc/rc.local").read_text() == f"#!/bin/sh\necho hi\n/bin/sh {home.SCRIPT} &\nexit 0\n"
