"""The lab's own parts, without a virtual machine."""

from __future__ import annotations

import io
import json
import socket
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from bootsrv.lab import firmware, qmp, seed
from bootsrv.lab.console import Console
from bootsrv.lab.errors import LabError, LabTimeout
from bootsrv.lab.firmware import Firmware
from bootsrv.lab.forward import Forwarder
from bootsrv.lab.lab import Lab
from bootsrv.lab.story import Story, stage_table
from bootsrv.model import Event
from bootsrv.timeline import build


def event(at: float, kind: str, **data: object) -> Event:
    return Event(1, at, 1, "52:54:00:00:00:01", 1, kind, f"text of {kind}", data)


def test_console_reads_on_from_the_last_match_and_drops_escapes(tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    console = Console(log, lambda: True)
    assert console.text() == ""
    log.write_bytes(b"\x1b[2J\x1b[1;31mlogin:\x1b[0m one\r\nlogin: two\r\n")
    assert console.wait_for(r"login: (\w+)", 1)[1] == "one"
    assert console.wait_for(r"login: (\w+)", 1)[1] == "two"
    with pytest.raises(LabTimeout, match="login: two"):
        console.wait_for("login", 0.2)
    console.skip()


def test_console_says_when_the_machine_went_off(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("panic\n")
    with pytest.raises(LabError, match="went off") as caught:
        Console(tmp_path / "log", lambda: False).wait_for("login", 5)
    assert "panic" in str(caught.value) and not isinstance(caught.value, LabTimeout)
    assert Console(tmp_path / "log", lambda: False).wait_for("panic", 5), "what it said last still counts"


def serve_qmp(path: Path, answers: list[dict[str, object]]) -> list[dict[str, object]]:
    """A monitor that greets and gives these answers; the requests it got."""
    got: list[dict[str, object]] = []
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen(1)

    def run() -> None:
        peer, _ = server.accept()
        with peer, server, peer.makefile("rwb") as stream:
            stream.write(b'{"QMP": {}}\n')
            stream.flush()
            for answer in answers:
                got.append(json.loads(stream.readline()))
                stream.write(b'{"event": "RESUME"}\n' + json.dumps(answer).encode() + b"\n")
                stream.flush()

    threading.Thread(target=run, daemon=True).start()
    return got


def test_qmp_skips_events_and_returns_the_answer(tmp_path: Path) -> None:
    got = serve_qmp(tmp_path / "qmp", [{"return": {}}, {"return": {"status": "running"}}])
    assert qmp.execute(tmp_path / "qmp", "query-status") == {"status": "running"}
    assert [request["execute"] for request in got] == ["qmp_capabilities", "query-status"]


def test_qmp_refusal_carries_qemus_reason(tmp_path: Path) -> None:
    serve_qmp(tmp_path / "qmp", [{"return": {}}, {"error": {"desc": "no such thing"}}])
    with pytest.raises(LabError, match="no such thing"):
        qmp.execute(tmp_path / "qmp", "frobnicate")


def test_forwarder_reaches_a_unix_socket_and_answers_503_without_one(tmp_path: Path) -> None:
    target = tmp_path / "http.sock"
    door = Forwarder(target)
    try:
        with pytest.raises(urllib.error.HTTPError, match="503"):
            urllib.request.urlopen(f"http://127.0.0.1:{door.port}/", timeout=5)
        server = socket.socket(socket.AF_UNIX)
        server.bind(str(target))
        server.listen(1)

        def answer() -> None:
            peer, _ = server.accept()
            with peer, server:
                assert peer.recv(4096).startswith(b"GET /page ")
                peer.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"x" * 300_000)

        threading.Thread(target=answer, daemon=True).start()
        with urllib.request.urlopen(f"http://127.0.0.1:{door.port}/page", timeout=5) as reply:
            assert reply.read() == b"x" * 300_000
        with pytest.raises(LabError, match="cannot listen"):
            Forwarder(target, door.port)
    finally:
        door.close()
        door.close()


def test_story_tells_times_events_and_tenths_of_the_progress() -> None:
    out = io.StringIO()
    story = Story(out)
    story.say("power on")
    story.tell(event(story.wall + 65.4, "dhcp.discover"), "n1")
    story.tell(event(story.wall + 66, "dhcp.ack"), "n1")
    for done in (1, 2, 60, 61, 100):
        data = {"done": done << 20, "total": 100 << 20, "rate": 2 << 20}
        story.tell(event(story.wall + 70, "deploy.progress", **data), "n1")
    lines = out.getvalue().splitlines()
    assert lines[0] == "  0:00.0  power on"
    assert lines[1] == "  1:05.4  n1  dhcp.discover    text of dhcp.discover"
    assert [line.split("]")[1].split()[0] for line in lines[2:]] == ["1%", "60%", "100%"]
    assert "20 s left" in lines[3]


def test_stage_table_has_each_stage_and_the_whole() -> None:
    events = [
        event(100.0, "dhcp.discover", stage="firmware"),
        event(104.0, "tftp.start"),
        event(110.0, "home"),
    ]
    lines = stage_table([build(events)])
    assert any("firmware" in line and "4.0 s" in line for line in lines)
    assert lines[-1].split() == ["10.0", "s", "from", "its", "first", "packet", "to", "home"]


@pytest.mark.netns
def test_a_lab_leaves_nothing_and_takes_what_a_killed_one_left(tmp_path: Path) -> None:
    (tmp_path / "bootsrv-lab-dead/data").mkdir(parents=True)
    with Lab(tmp_path) as lab:
        assert list(tmp_path.iterdir()) == [lab.home]
    assert not list(tmp_path.iterdir())


def test_the_kept_store_is_planted_and_imports_happen_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def fake(home: Path, name: str, recipe: str) -> None:
        made.append(f"{name} {recipe}")
        (home / "data" / "store").mkdir(parents=True, exist_ok=True)
        (home / "data" / "store" / name).write_text(recipe)

    monkeypatch.setattr(seed, "_import", fake)
    for _ in range(2):
        store = seed.seeded_store({"a": "one"}, lambda text: None, tmp_path)
    assert made == ["a one"]
    seed.plant(store, tmp_path / "lab" / "data")
    assert (tmp_path / "lab" / "data" / "store" / "a").read_text() == "one"
    seed.seeded_store({"a": "one", "b": "two"}, lambda text: None, tmp_path)
    assert made == ["a one", "b two"], "only what is missing is made"
    for number in range(4):
        monkeypatch.setattr(seed, "_key", lambda key=number: f"key{key}")
        seed.seeded_store({"a": "one"}, lambda text: None, tmp_path)
    assert sum(1 for path in tmp_path.glob("*/data")) <= seed.KEPT + 1
    assert len(made) == 6


def test_an_import_that_fails_is_not_kept(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(LabError, match="no-such-recipe"):
            seed.seeded_store({"a": "no-such-recipe"}, lambda text: None, tmp_path)
    assert not list(tmp_path.glob("*/a=*"))


def test_uefi_variables_belong_to_one_machine_and_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = tmp_path / "template.fd"
    template.write_bytes(b"blank")
    monkeypatch.setattr(firmware, "OVMF_VARS", template)
    words = firmware.arguments(Firmware.UEFI, tmp_path)
    assert f"if=pflash,unit=1,format=raw,file={tmp_path}/vars.fd" in words
    (tmp_path / "vars.fd").write_bytes(b"changed")
    firmware.arguments(Firmware.UEFI, tmp_path)
    assert (tmp_path / "vars.fd").read_bytes() == b"changed"
    assert firmware.nic_rom(Firmware.UEFI) == ",romfile=" and firmware.nic_rom(Firmware.BIOS) == ""


def test_a_missing_firmware_is_named_with_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(firmware.shutil, "which", lambda tool: f"/usr/bin/{tool}")
    there, gone = tmp_path / "pxe-virtio.rom", tmp_path / "gone.rom"
    there.touch()
    monkeypatch.setattr(firmware, "IPXE_ROMS", (gone, there))
    firmware.check_tools({Firmware.BIOS})
    monkeypatch.setattr(firmware, "IPXE_ROMS", (gone,))
    with pytest.raises(LabError, match="apt-get install ipxe-qemu"):
        firmware.check_tools({Firmware.BIOS})
    monkeypatch.setattr(firmware, "SECURE_CODE", gone)
    with pytest.raises(LabError, match=r"gone.rom: apt-get install ovmf"):
        firmware.check_tools({Firmware.UEFI_SECURE})


def test_http_and_secure_boot_are_what_their_machines_are_told(tmp_path: Path) -> None:
    told = {}
    for kind in Firmware:
        (home := tmp_path / kind).mkdir()
        told[kind] = " ".join(firmware.arguments(kind, home))
    without_pxe = "name=opt/org.tianocore/IPv4PXESupport,string=n"
    assert [kind for kind in Firmware if without_pxe in told[kind]] == [Firmware.UEFI_HTTP]
    assert [kind for kind in Firmware if "smm=on" in told[kind]] == [Firmware.UEFI_SECURE]
    assert firmware.nic_rom(Firmware.BIOS) == "" and firmware.nic_rom(Firmware.UEFI_HTTP) == ",romfile="


def fake_qemu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    fake = tmp_path / "qemu"
    fake.write_text(f"#!/bin/sh\n{script}\n")
    fake.chmod(0o755)
    monkeypatch.setattr(firmware, "QEMU", str(fake))


@pytest.mark.parametrize("status, works", [(firmware._PROBE_STATUS, True), (0, False), (1, False)])
def test_kvm_is_believed_only_when_its_guest_ran(
    status: int, works: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_qemu(tmp_path, monkeypatch, f"exit {status}")
    assert firmware._runs_a_sector() is works


def test_kvm_that_hangs_its_guest_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_qemu(tmp_path, monkeypatch, "exec sleep 60")
    monkeypatch.setattr(firmware, "_SECTOR_SECONDS", 0.2)
    monkeypatch.setattr(firmware, "_FIRMWARE_SECONDS", 0.2)
    monkeypatch.setattr(firmware, "OVMF_CODE", tmp_path / "qemu")
    assert firmware._runs_a_sector() is False
    assert firmware._runs_a_firmware() is False


@pytest.mark.parametrize(
    "script, works",
    [
        ("printf 'BdsDxe: no'; exec sleep 60", True),
        ("echo 'KVM internal error. Suberror: 1' >&2; exec sleep 60", False),
        ("echo something else", False),
    ],
)
def test_kvm_is_believed_only_when_a_firmware_came_to_its_boot_manager(
    script: str, works: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_qemu(tmp_path, monkeypatch, script)
    monkeypatch.setattr(firmware, "OVMF_CODE", tmp_path / "qemu")
    began = time.monotonic()
    assert firmware._runs_a_firmware() is works
    assert time.monotonic() - began < 8, "it is seen at once, not at the end of the time"
