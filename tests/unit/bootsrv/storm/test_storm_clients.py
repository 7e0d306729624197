"""The simulated machine's protocols without a network: loss, wrong answers, any bytes at all."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootsrv.storm import script
from bootsrv.storm.dhcp_client import DhcpClient, Identity, Who, release
from bootsrv.storm.http_client import MAX_HEAD, HttpClient
from bootsrv.storm.machine import Result
from bootsrv.storm.report import spread, summarise
from bootsrv.storm.tftp_client import TRIES, TftpClient
from pxe.dhcp import codes
from pxe.dhcp.client import describe
from pxe.dhcp.codes import Kind
from pxe.dhcp.ports import Stage
from pxe.dhcp.wire import REPLY, Packet, build, parse
from pxe.tftp import wire
from pxe.tftp.wire import Ack, Data, Error, Oack, Request

SERVER, OTHER = IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2")
YOURS = IPv4Address("10.0.0.50")
ME = Identity(b"\x02\xb0\x07\0\0\x01")
XID = 77


def dhcp(who: Who = Who.FIRMWARE, patience: float = 1.0) -> DhcpClient:
    return DhcpClient(who, ME, XID, SERVER, patience)


def answer(kind: Kind, server: IPv4Address = SERVER, **changes: object) -> Packet:
    said = {
        codes.MESSAGE_TYPE: bytes((kind,)),
        codes.SERVER_ID: server.packed,
        codes.SUBNET_MASK: b"\xff\xff\xff\0",
        codes.LEASE_TIME: (600).to_bytes(4, "big"),
        codes.BOOT_FILE: b"a.efi\0",
    }
    packet = Packet(op=REPLY, xid=XID, chaddr=ME.mac, yiaddr=YOURS, siaddr=SERVER, options=said)
    return replace(packet, **changes)  # type: ignore[arg-type]


# --- DHCP ---


def test_a_lease_in_four_messages() -> None:
    client = dhcp()
    discover = client.start(0.0)
    request = client.receive(answer(Kind.OFFER), SERVER, 0.1)
    assert request is not None
    assert (discover.options[53], request.options[53]) == (b"\x01", b"\x03")
    assert request.options[codes.REQUESTED_ADDRESS] == YOURS.packed
    assert client.receive(answer(Kind.ACK), SERVER, 0.2) is None
    assert client.lease is not None and client.done and client.deadline is None
    assert client.lease.address == IPv4Interface("10.0.0.50/24")
    assert (client.lease.filename, client.lease.boot_server, client.lease.seconds) == ("a.efi", SERVER, 600)


@pytest.mark.parametrize(("who", "stage"), [(Who.FIRMWARE, Stage.FIRMWARE), (Who.IPXE, Stage.IPXE)])
def test_the_server_sees_what_the_machine_claims_to_be(who: Who, stage: Stage) -> None:
    seen = describe(parse(build(dhcp(who).start(0.0), 1472)))
    assert (seen.stage, seen.arch, seen.mac) == (stage, 7, "02:b0:07:00:00:01")
    assert seen.uuid is not None


def test_firmware_asks_again_after_4_8_16_and_gives_up_after_60_seconds() -> None:
    client, times, now = dhcp(), [], 0.0
    client.start(now)
    while not client.done:
        assert client.deadline is not None
        now = client.deadline
        packet = client.tick(now)
        if packet is not None:
            times.append((now, packet.secs))
    assert times == [(4.0, 4), (12.0, 12), (28.0, 28)]
    assert (now, client.failed, client.retransmits) == (60.0, "no OFFER", 3)


def test_patience_shortens_every_wait() -> None:
    client = dhcp(patience=0.01)
    client.start(0.0)
    assert client.deadline == pytest.approx(0.04)
    assert client.tick(0.03) is None


def test_only_the_named_server_counts() -> None:
    client = dhcp()
    client.start(0.0)
    assert client.receive(answer(Kind.OFFER, OTHER), OTHER, 0.1) is None
    assert client.receive(answer(Kind.OFFER, xid=78), SERVER, 0.1) is None
    assert client.receive(answer(Kind.OFFER, chaddr=b"\x02" * 6), SERVER, 0.1) is None
    assert client.receive(answer(Kind.ACK), SERVER, 0.1) is None
    assert not client.done
    assert client.receive(answer(Kind.OFFER), SERVER, 0.2) is not None


def test_a_nak_starts_over_a_few_times() -> None:
    client = dhcp()
    client.start(0.0)
    for turn in range(4):
        assert client.receive(answer(Kind.OFFER), SERVER, turn) is not None
        again = client.receive(answer(Kind.NAK), SERVER, turn)
        assert (again is None) == (turn == 3)
    assert client.failed == "NAK after NAK"


def test_a_proxy_is_named_as_such() -> None:
    client = dhcp()
    client.start(0.0)
    client.receive(answer(Kind.OFFER, yiaddr=IPv4Address(0)), SERVER, 0.1)
    assert "proxy" in client.failed


def test_a_release_names_lease_and_server() -> None:
    client = dhcp()
    client.start(0.0)
    client.receive(answer(Kind.OFFER), SERVER, 0.1)
    client.receive(answer(Kind.ACK), SERVER, 0.1)
    assert client.lease is not None
    packet = release(ME, client.lease, 5)
    assert (packet.ciaddr, packet.options[codes.SERVER_ID]) == (YOURS, SERVER.packed)


_OPTIONS = st.dictionaries(st.sampled_from([1, 51, 53, 54, 66, 67]), st.binary(max_size=6))


@given(
    st.lists(st.tuples(st.sampled_from([0, 2, 5, 6]), _OPTIONS, st.sampled_from([0, int(YOURS)])), max_size=9)
)
def test_dhcp_ends_whatever_arrives(messages: list[tuple[int, dict[int, bytes], int]]) -> None:
    client, now = dhcp(), 0.0
    client.start(now)
    for kind, more, yours in messages:
        base = answer(Kind.OFFER).options
        packet = answer(Kind.OFFER, options={**base, 53: bytes((kind,)), **more}, yiaddr=IPv4Address(yours))
        client.receive(packet, SERVER, now)
    for _ in range(30):
        if client.done:
            break
        assert client.deadline is not None
        now = max(now, client.deadline)
        client.tick(now)
    assert client.done


# --- TFTP ---


class Sender:
    """A server in ten lines, by RFC 1350 and 7440: windows of blocks, from the block after the last ACK."""

    def __init__(self, size: int, options: tuple[tuple[str, str], ...] = ()) -> None:
        self.size, self.options = size, options
        agreed = dict(options)
        self.blksize, self.window = int(agreed.get("blksize", 512)), int(agreed.get("windowsize", 1))

    def answer(self, raw: bytes) -> list[bytes]:
        packet = wire.parse(raw)
        if isinstance(packet, Request):
            return [wire.build(Oack(self.options))] if self.options else self.blocks(1)
        assert isinstance(packet, Ack)
        done = min(range(self.size // self.blksize + 2), key=lambda n: (n & 0xFFFF != packet.block, n))
        return self.blocks(done + 1)

    def blocks(self, first: int) -> list[bytes]:
        last = self.size // self.blksize + 1
        numbers = range(first, min(first + self.window, last + 1))
        return [wire.build(Data(n & 0xFFFF, bytes(self._length(n)))) for n in numbers]

    def _length(self, number: int) -> int:
        return max(0, min(self.blksize, self.size - (number - 1) * self.blksize))


def transfer(client: TftpClient, sender: Sender, loss: float = 0.0, seed: int = 1) -> float:
    """Run both against each other over a lossy wire; gives the time it took in a world without distances."""
    random, now = Random(seed), 0.0
    waiting = list(client.start(now))
    while not client.done:
        sent = [raw for raw in waiting if random.random() >= loss]
        replies = [reply for raw in sent for reply in sender.answer(raw)]
        waiting = []
        for reply in replies:
            if random.random() >= loss:
                waiting += client.receive(reply, now)
        if not waiting and not client.done:
            assert client.deadline is not None
            now = client.deadline
            waiting = list(client.tick(now))
    return now


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 100_000])
@pytest.mark.parametrize("window", [1, 4, 16])
def test_files_of_every_length_arrive_whole(size: int, window: int) -> None:
    options = (("tsize", str(size)), ("blksize", "512"), ("windowsize", str(window)))[
        : 3 if window > 1 else 2
    ]
    client = TftpClient("f", 512, window)
    assert transfer(client, Sender(size, options)) == 0.0
    assert (client.complete, client.size, client.retransmits) == (True, size, 0)


def test_a_server_without_options() -> None:
    client = TftpClient("f", 1432, 16)
    transfer(client, Sender(5000))
    assert client.complete and client.size == 5000


@given(st.integers(0, 20_000), st.sampled_from([1, 3, 8]), st.integers(0, 1000))
def test_loss_costs_time_and_nothing_else(size: int, window: int, seed: int) -> None:
    options = (("blksize", "512"), ("windowsize", str(window)))[: 2 if window > 1 else 1]
    client = TftpClient("f", 512, window)
    transfer(client, Sender(size, options), loss=0.05, seed=seed)
    assert client.failed == "" and client.size == size


def test_more_than_65535_blocks() -> None:
    client = TftpClient("f", 8, 1)
    size = 70_000 * 8 + 3
    sender = Sender(size, (("blksize", "8"),))
    for raw in client.start(0.0):
        waiting = sender.answer(raw)
    block = 0
    while not client.done:
        out = [raw for reply in waiting for raw in client.receive(reply, 0.0)]
        block += 1
        waiting = sender.blocks(block) if out else []
    assert client.complete and client.size == size


def test_silence_ends_after_six_seconds() -> None:
    client, now = TftpClient("f"), 0.0
    client.start(now)
    while not client.done:
        assert client.deadline is not None
        now = client.deadline
        client.tick(now)
    assert (now, client.failed, client.retransmits) == (TRIES * 1.0, "no answer", TRIES - 1)


def test_the_last_block_again_gets_its_ack_again_and_older_ones_nothing() -> None:
    """Its ACK was lost; that a repeated ACK doubles nothing is the server's duty (RFC 1123 4.2.3.1)."""
    client = TftpClient("f")
    client.start(0.0)
    first, second = (wire.build(Data(block, bytes(512))) for block in (1, 2))
    assert client.receive(first, 0.1) == client.receive(first, 0.2) == (wire.build(Ack(1)),)
    client.receive(second, 0.3)
    assert client.receive(first, 0.4) == ()


@pytest.mark.parametrize(
    ("packet", "why"),
    [
        (Error(1, "no such file"), "error 1: no such file"),
        (Oack((("blksize", "9000"),)), "was not asked for"),
        (Oack((("multicast", "x"),)), "did not ask"),
        (Data(1, bytes(600)), "larger than agreed"),
    ],
)
def test_answers_that_end_a_transfer(packet: wire.Packet, why: str) -> None:
    client = TftpClient("f")
    client.start(0.0)
    client.receive(wire.build(packet), 0.1)
    assert why in client.failed


def test_a_short_file_is_not_called_complete() -> None:
    client = TftpClient("f", 512)
    client.start(0.0)
    client.receive(wire.build(Oack((("tsize", "1000"), ("blksize", "512")))), 0.0)
    client.receive(wire.build(Data(1, b"end")), 0.0)
    assert client.failed == "3 bytes came, 1000 were announced"


@given(st.lists(st.binary(max_size=600), max_size=20))
def test_tftp_ends_whatever_arrives(datagrams: list[bytes]) -> None:
    client, now = TftpClient("f"), 0.0
    client.start(now)
    for raw in datagrams:
        client.receive(raw, now)
    for _ in range(TRIES + 1):
        if not client.done:
            assert client.deadline is not None
            now = client.deadline
            client.tick(now)
    assert client.done


# --- HTTP ---


@given(st.integers(1, 40))
def test_an_answer_in_any_pieces(step: int) -> None:
    answer = b"HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 11\r\n\r\nhello world"
    client = HttpClient("http://h:8080/a?b=c", keep=True)
    for at in range(0, len(answer), step):
        assert not client.done
        client.receive(answer[at : at + step])
    assert client.complete and bytes(client.body) == b"hello world"
    assert client.request().startswith(b"GET /a?b=c HTTP/1.0\r\nHost: h:8080\r\n")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "status 404"),
        (b"SSH-2.0\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", "closed after 3 of 5 bytes"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", "bad Content-Length"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "chunks"),
        (b"HTTP/1.1 200", "closed before an answer"),
        (b"x" * (MAX_HEAD + 1), "never ends"),
    ],
)
def test_answers_that_are_failures(answer: bytes, why: str) -> None:
    client = HttpClient("http://h/")
    client.receive(answer)
    client.ended()
    assert why in client.failed and not client.complete


def test_without_a_length_the_end_is_the_end() -> None:
    client = HttpClient("http://h/")
    client.receive(b"HTTP/1.0 200 OK\r\n\r\nab")
    client.ended()
    assert client.complete and client.size == 2


@pytest.mark.parametrize("url", ["", "tftp://h/x", "http://", "x", "http://h:99999/"])
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(ValueError, match=r"URL|Port"):
        HttpClient(url)


@given(st.binary(max_size=200))
def test_http_ends_whatever_arrives(data: bytes) -> None:
    client = HttpClient("http://h/")
    client.receive(data)
    client.ended()
    assert client.done


# --- scripts and reports ---


def test_what_a_script_loads() -> None:
    text = (
        "#!ipxe\n:start\necho bootsrv: x\nkernel http://h/vmlinuz a=http://h b || goto failed\n"
        "initrd --name initrd.img initrd.img || goto failed\nboot || goto failed\n"
    )
    assert script.read(text, "http://h/boot/s") == script.Script(
        ("http://h/vmlinuz", "http://h/boot/initrd.img"), False
    )
    assert script.read("#!ipxe\niseq ${platform} efi && exit 1 ||\nsanboot --drive 0x80\n", "http://h/").local
    assert script.read("#!ipxe\nsleep 5\nchain http://h/again\n", "http://h/") == script.Script((), False)


def test_a_report_counts_what_happened() -> None:
    ok = [Result(b"a", {"dhcp": n / 100, "http": 1.0}, seconds=2.0, bytes=10) for n in range(1, 101)]
    bad = [Result(b"b", {"dhcp": 0.5}, failed="tftp: no answer", retransmits=5)] * 2
    record = summarise([*ok, *bad], 4.0).record()
    assert (record["machines"], record["booted"], record["failed"], record["retransmits"]) == (
        102,
        100,
        2,
        10,
    )
    assert record["failures"] == [{"reason": "tftp: no answer", "machines": 2}]
    assert list(record["stages"]) == ["dhcp", "http", "boot"]
    assert record["bytes_per_second"] == 250
    times = spread([n / 100 for n in range(1, 101)])
    assert (times.p50, times.p99, times.longest) == (0.5, 0.99, 1.0)
