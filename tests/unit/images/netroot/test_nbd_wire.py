"""NBD's handshake against real servers, and the netlink messages against the kernel's layout."""

from __future__ import annotations

import socket
import struct
import subprocess
import threading
import time
from pathlib import Path

import pytest

from images.agent.netroot import nbd, nbd_wire
from images.errors import BadInput, ImageError


def test_another_server_is_understood(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(range(256)) * 4096)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        "qemu-nbd",
        "-r",
        "-t",
        "-f",
        "raw",
        "-x",
        "debian@1",
        "-b",
        "127.0.0.1",
        "-p",
        str(port),
        str(disk),
    ]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            try:
                connection, export = nbd.dial(nbd.Place("127.0.0.1", port, "debian@1"))
                break
            except ConnectionRefusedError:
                time.sleep(0.05)
        with connection:
            assert export.size == 1 << 20 and export.flags & nbd_wire.READ_ONLY
            connection.sendall(struct.pack(">IHHQQI", 0x25609513, 0, 0, 7, 4096, 512))
            assert nbd._exactly(connection, 16) == struct.pack(">IIQ", 0x67446698, 0, 7)
            assert nbd._exactly(connection, 512) == bytes(range(256)) * 2
        with pytest.raises(ImageError, match="refuses other@1"):
            nbd.dial(nbd.Place("127.0.0.1", port, "other@1"))
    finally:
        server.kill()
        server.wait()


def answering(replies: bytes) -> nbd.Place:
    """A server that says this after its greeting, and hangs up."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        peer, _ = listener.accept()
        with peer, listener:
            peer.sendall(struct.pack(">QQH", nbd_wire.MAGIC, nbd_wire.OPTION, 3) + replies)
            peer.recv(1000)
            time.sleep(0.05)

    threading.Thread(target=serve, daemon=True).start()
    return nbd.Place("127.0.0.1", listener.getsockname()[1], "debian@1")


def reply(kind: int, body: bytes = b"") -> bytes:
    return struct.pack(">QIII", nbd_wire.REPLY, nbd_wire.GO, kind, len(body)) + body


def test_a_refusal_says_why() -> None:
    with pytest.raises(ImageError, match="refuses debian@1: not yours"):
        nbd.dial(answering(reply(nbd_wire.ERROR | 6, b"not yours")))


def test_a_server_that_hangs_up_is_gone() -> None:
    with pytest.raises(ConnectionError):
        nbd.dial(answering(b""))


def test_other_replies_are_passed_over() -> None:
    other = struct.pack(">HI", 3, 1)
    export = struct.pack(">HQH", 0, 1 << 30, 3)
    connection, found = nbd.dial(answering(reply(3, other) + reply(3, export) + reply(nbd_wire.ACK)))
    connection.close()
    assert found == (1 << 30, 3)


@pytest.mark.parametrize("data", [b"", b"x" * 18, struct.pack(">QQH", nbd_wire.MAGIC, nbd_wire.OPTION, 0)])
def test_strange_greetings(data: bytes) -> None:
    with pytest.raises(BadInput):
        nbd_wire.greeting(data)


def test_what_the_kernel_is_told() -> None:
    told = nbd_wire.message(0x1C, nbd_wire.RECONFIGURE, nbd_wire.index(3) + nbd_wire.sockets(5), 9)
    length, kind, flags, sequence, port = struct.unpack_from("=IHHII", told)
    assert (length, kind, flags, sequence, port) == (len(told), 0x1C, 5, 9, 0)
    assert told[16:20] == bytes([nbd_wire.RECONFIGURE, 1, 0, 0])
    found = nbd_wire.attributes(told[20:])
    assert found[nbd_wire.INDEX] == struct.pack("=I", 3)
    items = nbd_wire.attributes(found[nbd_wire.SOCKETS])
    assert nbd_wire.attributes(items[1]) == {1: struct.pack("=I", 5)}


def test_the_kernel_answers() -> None:
    """Of its own controller, which every kernel has."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, nbd.NETLINK_GENERIC) as handle:
        handle.bind((0, 0))
        found = nbd._ask(handle, nbd_wire.family_request("nlctrl", 1))
        assert found[nbd_wire.CTRL_NAME] == b"nlctrl\0"
        assert found[nbd_wire.CTRL_ID] == struct.pack("=H", nbd_wire.CTRL_FAMILY)
        with pytest.raises(OSError, match="No such file"):
            nbd._ask(handle, nbd_wire.family_request("no-such-family", 2))


@pytest.mark.parametrize(
    "data", [b"x" * 16, struct.pack("=IHHII", 99, 3, 0, 0, 0), struct.pack("=IHHII", 16, 2, 0, 0, 0)]
)
def test_damaged_messages(data: bytes) -> None:
    with pytest.raises(BadInput):
        nbd_wire.answers(data)
