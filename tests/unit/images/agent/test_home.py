"""The unit in the imaged system: its script is run for real, by each of the four ways it can speak HTTP."""

import http.server
import os
import shutil
import ssl
import stat
import subprocess
import sys
import threading
from urllib.parse import parse_qs

import pytest

from bootsrv import tls
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
        yield running.server_port, calls, running
        running.shutdown()


def run_with(tool, tmp_path, port, text, certificate=None):
    """Run a script of ours where that is the only program that speaks HTTP; HTTPS, if it is told whom to
    believe."""
    if shutil.which(tool) is None:
        pytest.fail(f"{tool} is needed for this test")
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    for name in {tool, "sh", "sleep", "cat"}:
        real = os.path.realpath(sys.executable) if name == "python3" else shutil.which(name)
        (bin_ / name).symlink_to(real)
    conf = tmp_path / "home.conf"
    scheme, pin = ("https", f"pin={tls.pin(certificate)}\n") if certificate else ("http", "")
    conf.write_text(f"url={scheme}://127.0.0.1:{port}/node/v1/home\ntoken=se=cret\nimage=debian+x@3\n{pin}")
    text = text.replace("conf=/etc/bootsrv/home.conf", f"conf={conf}")
    if certificate:
        (tmp_path / "server.crt").write_text(certificate)
        text = text.replace("crt=/etc/bootsrv/server.crt", f"crt={tmp_path}/server.crt")
    (tmp_path / "script").write_text(text)
    return subprocess.run(
        [shutil.which("dash") or "sh", str(tmp_path / "script")],
        env={"PATH": str(bin_)}, timeout=40, capture_output=True, text=True,
    )  # fmt: skip


TOOLS = pytest.mark.parametrize("tool", ["curl", "python3", "bash", "wget"])


@TOOLS
def test_calls_home_with_whatever_there_is(tmp_path, server, tool):
    port, calls, _ = server
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
    port, calls, _ = server
    more = "url=${url%/home}/room\nsend used=1 || send used=2\n"
    done = run_with(tool, tmp_path, port, home.FUNCTIONS + more)
    assert done.returncode == 0, done.stderr
    assert calls[-1] == ("/node/v1/room", "Bearer se=cret", "used=2")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Two servers' certificates and keys."""
    made = []
    for name in ("one", "two"):
        folder = tmp_path_factory.mktemp(name)
        tls._make(folder / "crt", folder / "key", "cluster.test")
        made.append(folder)
    return made


SECURE = pytest.mark.parametrize("tool", ["curl", "python3", "openssl"])


@SECURE
def test_calls_home_over_https_and_believes_one_certificate(tmp_path, server, pairs, tool):
    port, calls, running = server
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pairs[0] / "crt", pairs[0] / "key")
    running.socket = context.wrap_socket(running.socket, server_side=True)
    certificate = (pairs[0] / "crt").read_text()
    said = "send a=1 || send b=2\n"  # the first is refused with 503
    done = run_with(tool, tmp_path, port, home.FUNCTIONS + said, certificate)
    assert done.returncode == 0, done.stderr
    assert calls == [("/node/v1/home", "Bearer se=cret", "a=1"), ("/node/v1/home", "Bearer se=cret", "b=2")]
    (tmp_path / "other").mkdir()
    other = (pairs[1] / "crt").read_text()
    done = run_with(tool, tmp_path / "other", port, home.FUNCTIONS + "send c=3\n", other)
    assert done.returncode != 0 and len(calls) == 2, "it told another server its token"


def test_https_only_where_the_system_can(tmp_path):
    able, unable = tmp_path / "able", tmp_path / "unable"
    (able / "usr/bin").mkdir(parents=True)
    (able / "usr/bin/openssl").touch()
    unable.mkdir()
    server = home.Server("http://s/home", "T", "https://s/home", "PEM", "sha256//x=", "00")
    for place in (able, unable):
        home.renew(Root(place), server, "i@1")
    secure = {"url": "https://s/home", "token": "T", "image": "i@1", "pin": "sha256//x="}
    assert home.read(Root(able)) == secure
    assert home.read(Root(unable)) == {"url": "http://s/home", "token": "T", "image": "i@1"}
    assert (able / "etc/bootsrv/server.crt").read_text() == "PEM"


def test_install_on_systemd_keeps_the_token_to_root(tmp_path):
    (tmp_path / "usr/lib/systemd").mkdir(parents=True)
    (tmp_path / "usr/lib/systemd/systemd").write_text("")
    server = home.Server("http://10.0.0.1:8080/node/v1/home", "T")
    assert home.install(Root(tmp_path), server, "debian@1") == "systemd"
    conf = tmp_path / "etc/bootsrv/home.conf"
    assert stat.S_IMODE(conf.stat().st_mode) == 0o600 and "token=T" in conf.read_text()
    assert stat.S_IMODE(conf.parent.stat().st_mode) == 0o700
    wanted = tmp_path / "etc/systemd/system/multi-user.target.wants" / home.UNIT
    assert os.readlink(wanted) == f"/etc/systemd/system/{home.UNIT}"


def test_install_on_openrc(tmp_path):
    (tmp_path / "etc/runlevels/default").mkdir(parents=True)
    assert home.install(Root(tmp_path), home.Server("u", "t"), "i@1") == "openrc"
    assert (tmp_path / "etc/local.d/bootsrv.start").stat().st_mode & 0o111


def test_install_on_rc_local_once(tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/rc.local").write_text("#!/bin/sh\necho hi\nexit 0\n")
    root = Root(tmp_path)
    assert home.install(root, home.Server("u", "t"), "i@1") == "rc.local"
    home.install(root, home.Server("u", "t"), "i@1")
    assert (tmp_path / "etc/rc.local").read_text() == f"#!/bin/sh\necho hi\n/bin/sh {home.SCRIPT} &\nexit 0\n"
