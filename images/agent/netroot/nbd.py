"""A network block device by the kernel's own client, set up over netlink, and the keeper of its connection.

The kernel waits while a connection is down, as long as we tell it to; bringing a new one is for user space.
So one small process stays behind when the root is switched: it holds everything it needs in memory, tells
by a poll of the socket that the connection died, and hands the kernel a new one. systemd leaves it alone
because its command line begins with `@` (systemd's "Storage daemons for the root file system"). Python 3.8,
standard library only; needs the module nbd.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import socket
import time
from pathlib import Path
from typing import Any, NamedTuple

from images.agent.netroot import nbd_wire as wire
from images.agent.netroot.mounts import modprobe
from images.errors import ImageError

REQUEST_SECONDS = 30  # without an answer a connection is given up and the request sent again over the next
AWAY_SECONDS = 30 * 86400  # how long the kernel waits for us to bring a new connection
PAUSES = (0.2, 0.5, 1.0, 2.0)
POLLRDHUP = 0x2000
NETLINK_GENERIC = 16


class Place(NamedTuple):
    """Where an export is."""

    host: str
    port: int
    name: str


class Device(NamedTuple):
    """A connected one. `connection` is our own handle on the kernel's socket."""

    number: int
    place: Place
    connection: socket.socket

    @property
    def path(self) -> str:
        return f"/dev/nbd{self.number}"


def connect(number: int, place: Place) -> Device:
    """Makes /dev/nbdN an export. Raises OSError, ImageError with what the server said."""
    modprobe(["nbd"])
    connection, export = dial(place)
    body = b"".join(
        (
            wire.index(number), wire.number(wire.SIZE, export.size), wire.number(wire.BLOCK, 4096),
            wire.number(wire.TIMEOUT, REQUEST_SECONDS), wire.number(wire.DEAD, AWAY_SECONDS),
            wire.number(wire.SERVER_FLAGS, export.flags), wire.sockets(connection.fileno()),
        )
    )  # fmt: skip
    _tell(wire.CONNECT, body)
    return Device(number, place, connection)


def disconnect(number: int) -> None:
    """Takes the device down; nothing happens where it is not up."""
    try:
        _tell(wire.DISCONNECT, wire.index(number))
    except OSError:
        return


def dial(place: Place) -> tuple[socket.socket, wire.Export]:
    """A connection that is ready for requests. A server that is gone without a word is noticed."""
    connection = socket.create_connection((place.host, place.port), timeout=REQUEST_SECONDS)
    try:
        for level, option, value in (
            (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
            (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10), (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
            (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4),
            (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 30_000),
        ):  # fmt: skip
            connection.setsockopt(level, option, value)
        wire.greeting(_exactly(connection, 18))
        connection.sendall(wire.hello() + wire.go(place.name))
        export = None
        while True:
            kind, length = wire.reply_header(_exactly(connection, 20))
            body = _exactly(connection, length)
            if kind & wire.ERROR:
                said = body.decode("utf-8", "replace").strip() or f"error {kind & 0xFF}"
                raise ImageError(f"the NBD server refuses {place.name}: {said}")
            if kind == wire.INFO:
                export = wire.export_of(body) or export
            elif kind == wire.ACK and export is not None:
                connection.settimeout(None)
                return connection, export
    except BaseException:
        connection.close()
        raise


def keep(devices: list[Device]) -> int:
    """Starts the keeper of these devices; its process id. Returns once it needs no file any more."""
    ready, told = os.pipe()
    child = os.fork()
    if child:
        os.close(told)
        with os.fdopen(ready, "rb") as pipe:
            said = pipe.read()
        if said != b"ready":
            why = said.decode("utf-8", "replace") or "it died"
            raise ImageError(f"the keeper of the network block device did not start: {why}")
        return child
    try:
        os.setsid()
        os.chdir("/")
        try:
            log = _settle()
        except OSError as error:
            os.write(told, str(error).encode())
            raise
        os.write(told, b"ready")
        os.close(told)
        _keep_forever(devices, log)
    finally:
        os._exit(1)


def _settle() -> int:
    """All that takes a file system: after this there may be none that we know. Returns the kernel's log."""
    log = os.open("/dev/kmsg", os.O_WRONLY | os.O_CLOEXEC)
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    _name_ourselves()
    ctypes.CDLL(None).mlockall(3)
    try:
        Path("/proc/self/oom_score_adj").write_text("-1000")
    except PermissionError as error:  # in a container
        _say(log, f"the keeper of the network block device may be killed when memory is short: {error}")
    return log


def _keep_forever(devices: list[Device], log: int) -> None:
    poll, by_fd = select.poll(), {}
    for device in devices:
        poll.register(device.connection, POLLRDHUP)
        by_fd[device.connection.fileno()] = device
    while True:
        for fd, _ in poll.poll():
            poll.unregister(fd)
            device = _back(by_fd.pop(fd), log)
            poll.register(device.connection, POLLRDHUP)
            by_fd[device.connection.fileno()] = device


def _back(device: Device, log: int) -> Device:
    """A new connection in place of one that died; tries until there is one."""
    _say(log, f"{device.path}: the server is gone; what needs it waits")
    since, attempt, told = time.monotonic(), 0, ""
    device.connection.close()
    while True:
        time.sleep(PAUSES[min(attempt, len(PAUSES) - 1)])
        attempt += 1
        try:
            connection, _ = dial(device.place)
            _bring(device.number, connection)
        except (OSError, ImageError) as error:
            if isinstance(error, ImageError) and str(error) != told:
                told = str(error)
                _say(log, f"{device.path}: {told}; still asking")
            continue
        _say(log, f"{device.path}: the server is back after {time.monotonic() - since:.0f} s")
        return device._replace(connection=connection)


def _bring(number: int, connection: socket.socket) -> None:
    """Hands the kernel a connection, once it has noticed that the old one is dead (ENOSPC before)."""
    body = wire.index(number) + wire.sockets(connection.fileno())
    for _ in range(REQUEST_SECONDS * 2):
        try:
            _tell(wire.RECONFIGURE, body)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                connection.close()
                raise
            time.sleep(0.5)
            continue
        return
    connection.close()
    raise OSError(errno.ENOSPC, "the kernel still holds on to the old connection")


def _tell(command: int, body: bytes) -> None:
    """One command to the kernel's nbd. Raises OSError with its answer."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_GENERIC) as handle:
        handle.settimeout(60.0)
        handle.bind((0, 0))
        family = int.from_bytes(_ask(handle, wire.family_request("nbd", 1))[wire.CTRL_ID], "little")
        _ask(handle, wire.message(family, command, body, 2))


def _ask(handle: socket.socket, request: bytes) -> dict[int, bytes]:
    handle.send(request)
    found: dict[int, bytes] = {}
    while True:
        for answer in wire.answers(handle.recv(1 << 16)):
            if answer.error is None:
                found.update(answer.attributes)
            elif answer.error:
                raise OSError(answer.error, f"{os.strerror(answer.error)} (nbd)")
            else:
                return found


def _exactly(connection: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        piece = connection.recv(length - len(data))
        if not piece:
            raise ConnectionError("the NBD server hung up")
        data += piece
    return data


def _name_ourselves() -> None:
    """A command line that begins with @ is what systemd looks for; its place is in our own memory."""
    fields: Any = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = int(fields[45]), int(fields[46])
    name = b"@bootsrv-nbd"
    with open("/proc/self/mem", "r+b", buffering=0) as memory:  # noqa: PTH123 - not a file to be read whole
        memory.seek(start)
        memory.write(name[: end - start - 1].ljust(end - start, b"\0"))


def _say(log: int, text: str) -> None:
    try:
        os.write(log, f"<4>bootsrv: {text}\n".encode())
    except OSError:  # the ring is being read too slowly
        return
