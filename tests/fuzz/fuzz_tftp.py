"""Coverage-guided fuzzing of TFTP: packets, the agreement on options, and both sides of a transfer.

    python tests/fuzz/fuzz_tftp.py CORPUS-DIRECTORY [libFuzzer options, such as -max_total_time=60]

The laws: any bytes are a packet or a WireError, and what was parsed builds to something that parses to the
same; whatever a client says and whenever, a sender never has more in flight than agreed nor sends what is
not in the file, a receiver keeps each byte once, and both end. Input after a request is a script for the
transfer.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT)]

with atheris.instrument_imports(include=["pxe"]):
    from pxe.errors import WireError
    from pxe.tftp.session import Burst, Sender
    from pxe.tftp.terms import Terms, negotiate
    from pxe.tftp.upload import Receiver
    from pxe.tftp.wire import Request, build, parse

WINDOW = 64
SIZES = (0, 1, 511, 512, 1024, 100_000, 40_000_000)


def seeds() -> list[bytes]:
    """Requests as firmware and programs send them, each followed by a little script."""
    script = b"\xff\0" + bytes(range(64))
    requests = [
        b"\0\1undionly.kpxe\0octet\0tsize\x000\0",  # Intel's UNDI
        b"\0\1undionly.kpxe\0octet\0blksize\x001456\0",
        b"\0\1snponly.efi\0octet\0tsize\x000\0blksize\x001468\0windowsize\x004\0",  # EDK2
        b"\0\1revocations.efi\0octet\0blksize\x00512\0",  # shim
        b"\0\1autoexec.ipxe\0octet\0blksize\x001432\0tsize\x000\0",  # iPXE
        b"\0\1a\xfe\0netascii\0timeout\x003\0rollover\x001\0\0\0\0",
        b"\0\2up/console.log\0octet\0tsize\x0099\0windowsize\x0016\0",
    ]
    others = [b"\0\3\0\1" + bytes(512), b"\0\4\xff\xff", b"\0\5\0\x08bad options\0", b"\0\6blksize\x001432\0"]
    return [request + script for request in requests] + requests + others


def one(data: bytes) -> None:
    """One input; raises what must not happen."""
    raw, _, script = data.partition(b"\xff\0")
    try:
        packet = parse(raw)
    except WireError:
        return
    assert parse(build(packet)) == packet
    if isinstance(packet, Request):
        terms = negotiate(packet, None if packet.write else SIZES[len(raw) % len(SIZES)], 1468, WINDOW)
        assert 8 <= terms.blksize <= 1468 and 1 <= terms.windowsize <= WINDOW
        if packet.write:
            receive(terms, script)
        else:
            send(SIZES[len(raw) % len(SIZES)], terms, script)


def send(size: int, terms: Terms, script: bytes) -> None:
    """A client that answers with what the script says, or lets time pass."""
    sender, now = Sender(size, terms), 1000.0
    last = size // terms.blksize + 1
    actions = [sender.start(now)]
    for i in range(0, len(script) - 2, 3):
        now += script[i] / 64
        if script[i] & 1:
            actions.append(sender.tick(now))
        else:
            number = script[i + 1] << 8 | script[i + 2]
            run = min(sender.run(), script[i + 1] % 4)
            assert run >= 0
            if run:
                sender.ran(run, now)
            actions.append(sender.ack(number, now))
        if sender.done or sender.failed:
            break
    for action in actions:
        if isinstance(action, Burst):
            assert 1 <= action.first <= last and 1 <= action.blocks <= terms.windowsize
            assert action.first + action.blocks - 1 <= last
            numbers = sender.numbers(action.first, action.blocks)
            assert numbers == [sender.number(action.first + k) for k in range(action.blocks)]
    for _ in range(1000):  # nobody answers any more
        if sender.done or sender.failed:
            return
        now = max(now, sender.deadline)
        sender.tick(now)
    raise AssertionError("a transfer that does not end")


def receive(terms: Terms, script: bytes) -> None:
    """A client that sends blocks as the script says."""
    receiver, now, kept = Receiver(terms), 1000.0, 0
    receiver.start(now)
    for i in range(0, len(script) - 2, 3):
        now += script[i] / 64
        if script[i] & 1:
            receiver.tick(now)
        else:
            block = bytes(script[i + 2] * 6)
            taken, _ = receiver.data(script[i + 1], block, now)
            assert not taken or taken == block
            kept += len(taken)
        if receiver.failed:
            return
    assert kept <= terms.blksize * (len(script) // 3)
    for _ in range(1000):
        if receiver.done or receiver.failed:
            return
        now = max(now, receiver.deadline)
        receiver.tick(now)
    raise AssertionError("a transfer that does not end")


if __name__ == "__main__":
    from harness import fuzz, recorded

    fuzz(one, seeds() + recorded("tftp"))
