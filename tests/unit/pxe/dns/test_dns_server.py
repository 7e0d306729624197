"""The server on loopback, asked by dnspython and dig; and forwarding, with a small server to forward to."""

import shutil
import socket
import subprocess
import threading
import time

import dns.flags
import dns.message
import dns.query
import dns.rrset
import pytest
from dns_house import DnsHouse

from pxe.dns import server as dns_server
from pxe.dns import wire
from pxe.sockets import Listen


@pytest.fixture
def house():
    house = DnsHouse()
    yield house
    house.close()


def test_any_free_port_is_one_that_is_free_for_tcp_too(house, monkeypatch):
    busy = socket.create_server(("127.0.0.1", 0))
    ports = [busy.getsockname()[1]]
    bind = dns_server.bind

    def unlucky(place, kind, address=None, port=None):
        if kind == socket.SOCK_DGRAM and ports:
            port = ports.pop()
        return bind(place, kind, address, port)

    monkeypatch.setattr(dns_server, "bind", unlucky)
    udp, tcp = dns_server._bind_both(Listen("127.0.0.1", 0))
    with udp, tcp, busy:
        assert udp.getsockname() == tcp.getsockname() != busy.getsockname()


def wait_for(what, seconds=10):
    ends = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < ends
        time.sleep(0.01)


class Upstream:
    """A server for other names; counts, and can be told to stay silent."""

    def __init__(self):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.address = self.sock.getsockname()
        self.asked, self.silent, self.forge = 0, False, False
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            try:
                raw, peer = self.sock.recvfrom(4096)
            except OSError:
                return
            self.asked += 1
            if self.silent:
                continue
            question = dns.message.from_wire(raw)
            reply = dns.message.make_response(question, recursion_available=True)
            name = question.question[0].name
            if self.forge:
                reply.id = (reply.id + 1) & 0xFFFF
                reply.answer = [dns.rrset.from_text(name, 300, "IN", "A", "6.6.6.6")]
                self.sock.sendto(reply.to_wire(), peer)
                reply.id = question.id
            reply.answer = [dns.rrset.from_text(name, 300, "IN", "A", "192.0.2.1")]
            self.sock.sendto(reply.to_wire(), peer)

    def close(self):
        self.sock.close()


@pytest.fixture
def upstream():
    server = Upstream()
    yield server
    server.close()


@pytest.fixture
def forwarding(upstream):
    house = DnsHouse([upstream.address])
    yield house
    house.close()


def udp(house, name, kind="A", port=None, where="127.0.0.1", **options):
    question = dns.message.make_query(name, kind, **options)
    return dns.query.udp(question, where, port=port or house.port, timeout=5)


def test_over_udp_and_tcp(house):
    for transport in (dns.query.udp, dns.query.tcp):
        question = dns.message.make_query("N1.cluster.TEST.", "A", use_edns=0)
        reply = transport(question, "127.0.0.1", port=house.port, timeout=5)
        assert reply.answer[0][0].address == "10.77.0.11" and reply.flags & dns.flags.AA


@pytest.mark.parametrize("where", ["127.0.0.1", "127.0.0.9", "::1"])
def test_a_wildcard_answers_from_the_address_that_was_asked(house, where):
    port = house.any6 if ":" in where else house.any
    assert udp(house, "n1.cluster.test.", port=port, where=where).answer  # dnspython checks the source


def test_truncated_over_udp_whole_over_tcp(house):
    question = dns.message.make_query("big.cluster.test.", "TXT")
    reply, by_tcp = dns.query.udp_with_fallback(question, "127.0.0.1", port=house.port, timeout=5)
    assert by_tcp and len(reply.answer[0]) == 20


def test_strangers_get_no_large_answers_over_udp(house):
    """What is sent in somebody's name is not made much more of."""
    question = dns.message.make_query("big.cluster.test.", "TXT", use_edns=0, payload=4096)
    srv = dns.message.make_query("_http._tcp.cluster.test.", "SRV", use_edns=0, payload=4096)
    for peer, most in (("198.51.100.7", 512), ("10.77.0.50", 1232), ("198.51.100.7", 512)):
        raw = house.server._own(wire.parse(question.to_wire()), peer, tcp=False)
        assert len(raw) <= most and dns.message.from_wire(raw).flags & dns.flags.TC
        assert dns.message.from_wire(house.server._own(wire.parse(srv.to_wire()), peer, tcp=False)).answer
    assert len(house.server._own(wire.parse(question.to_wire()), "198.51.100.7", tcp=True)) > 5000


def test_answers_are_kept_until_the_registry_changes(house):
    for _ in range(3):
        udp(house, "n1.cluster.test.")
    assert house.hosts.asked == 1
    house.hosts.names["n1.cluster.test"] = house.hosts.names["n2.cluster.test"]
    house.hosts.serial += 1
    assert udp(house, "n1.cluster.test.").answer[0][0].address == "10.77.1.12"


def test_a_failing_registry_ends_nothing(house, monkeypatch):
    def fails(name):
        raise RuntimeError("database is locked")

    lookup = house.hosts.lookup
    house.hosts.lookup = fails
    with pytest.raises(dns.exception.Timeout):
        dns.query.udp(
            dns.message.make_query("n1.cluster.test.", "A"), "127.0.0.1", port=house.port, timeout=0.3
        )
    house.hosts.lookup = lookup
    assert udp(house, "n1.cluster.test.").answer


def test_rubbish_is_harmless(house):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(0.2)
    for raw in (b"", b"x", bytes(12), b"\xff" * 4000, b"\0\1\x80\0" + bytes(8)):
        sock.sendto(raw, ("127.0.0.1", house.port))
    stream = socket.create_connection(("127.0.0.1", house.port))
    stream.sendall(b"\0\x0crubbish")
    stream.close()
    assert udp(house, "n1.cluster.test.").answer
    got = sock.recv(100)  # a header without a question deserves a FORMERR; a response (the last one) nothing
    assert got[3] & 15 == 1
    with pytest.raises(TimeoutError):
        sock.recv(100)


def test_several_questions_on_one_connection(house):
    with socket.create_connection(("127.0.0.1", house.port)) as sock:
        for name in ("n1.cluster.test.", "n2.cluster.test.", "none.cluster.test."):
            question = dns.message.make_query(name, "A")
            dns.query.send_tcp(sock, question, time.time() + 5)
            assert question.is_response(dns.query.receive_tcp(sock, time.time() + 5)[0])


def test_without_forwarding_other_names_are_refused(house):
    assert udp(house, "example.org.").rcode() == dns.rcode.REFUSED


def test_forwarding_remembers(forwarding, upstream):
    for name in ("example.org.", "EXAMPLE.org.", "example.ORG."):
        reply = udp(forwarding, name)
        assert reply.answer[0][0].address == "192.0.2.1" and reply.flags & dns.flags.RA
        assert str(reply.question[0].name) == name
    assert upstream.asked == 1
    assert udp(forwarding, "n1.cluster.test.").answer[0][0].address == "10.77.0.11"


def test_a_forged_reply_is_not_believed(forwarding, upstream):
    upstream.forge = True
    assert udp(forwarding, "forged.example.").answer[0][0].address == "192.0.2.1"


def test_many_askers_cost_one_question(forwarding, upstream):
    upstream.silent = True
    threads = [threading.Thread(target=lambda: udp(forwarding, "slow.example.")) for _ in range(10)]
    for thread in threads:
        thread.start()
    wait_for(lambda: upstream.asked)
    time.sleep(0.3)  # less than until it is asked again
    asked = upstream.asked
    upstream.silent = False
    for thread in threads:
        thread.join(8)
    assert asked == 1


def test_a_silent_server_is_servfail_and_another_one_is_tried(upstream):
    silent = Upstream()
    silent.silent = True
    house = DnsHouse([silent.address, upstream.address])
    try:
        assert udp(house, "example.org.").answer[0][0].address == "192.0.2.1"
        upstream.silent = True
        reply = dns.query.udp(
            dns.message.make_query("other.example.", "A"), "127.0.0.1", port=house.port, timeout=15
        )
        assert reply.rcode() == dns.rcode.SERVFAIL
    finally:
        house.close()
        silent.close()


def test_dig(house):
    if shutil.which("dig") is None:
        pytest.fail("dig is not installed: ./run setup does it")
    command = ["dig", "@127.0.0.1", "-p", str(house.port), "+short", "-x", "10.77.0.11"]
    assert subprocess.run(command, capture_output=True, timeout=20).stdout == b"n1.cluster.test.\n"


def test_what_waits_for_a_silent_server_is_bounded(forwarding, upstream, monkeypatch):
    monkeypatch.setattr(dns_server, "_WAITING_MOST", 5)
    upstream.silent = True
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        for number in range(40):
            question = dns.message.make_query("slow.example.", "A", id=number)
            client.sendto(question.to_wire(), ("127.0.0.1", forwarding.port))
        wait_for(lambda: forwarding.server.counts["dropped"] == 35)
        client.settimeout(15)
        answers = [dns.message.from_wire(client.recv(4096)) for _ in range(5)]  # told in the end
    assert {answer.rcode() for answer in answers} == {dns.rcode.SERVFAIL}
    assert udp(forwarding, "n1.cluster.test.").answer  # and ours are answered all the time


def test_one_address_does_not_take_all_connections(house, monkeypatch):
    monkeypatch.setattr(dns_server, "_TCP_PER_SOURCE", 3)
    greedy = [socket.create_connection(("127.0.0.1", house.port)) for _ in range(6)]
    for sock in greedy:
        sock.settimeout(0.5)
    wait_for(lambda: house.server._connections["127.0.0.1"] == 3)
    assert sum(closed(sock) for sock in greedy) == 3
    other = socket.create_connection(("127.0.0.1", house.port), source_address=("127.0.0.2", 0))
    question = dns.message.make_query("n1.cluster.test.", "A")
    with other:
        dns.query.send_tcp(other, question)
        assert dns.query.receive_tcp(other)[0].answer
    for sock in greedy:
        sock.close()
    wait_for(lambda: not house.server._connections)


def closed(sock):
    try:
        return sock.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True
