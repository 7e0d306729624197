"""What is answered to whom, by RFC 1034, 2308, 8020 and 8482."""

from ipaddress import ip_network

import dns.message
import pytest
from dns_house import ZONES, Hosts

from pxe.dns import wire
from pxe.dns.resolver import Forward, Resolver
from pxe.dns.zone import address_of, reverse_zones

INSIDE, OUTSIDE = "10.77.3.9", "192.0.2.9"


def ask(name, qtype="A", peer=INSIDE, forwarding=False, hosts=None, **options):
    query = wire.parse(dns.message.make_query(name, qtype, **options).to_wire())
    return Resolver(ZONES, hosts or Hosts(), forwarding).resolve(query, peer)


def data(answer):
    return [(record.type, record.data) for _, _, record in answer.answer]


def test_addresses():
    answer = ask("N1.Cluster.Test.")
    assert answer.authoritative and data(answer) == [("A", "10.77.0.11")]
    assert data(ask("n1.cluster.test.", "AAAA")) == [("AAAA", "fd00:77::11")]


def test_times_to_live():
    assert ask("n1.cluster.test.").answer[0][1] == ZONES.ttl
    assert ask("n2.cluster.test.").answer[0][1] == 5


@pytest.mark.parametrize(
    ("name", "qtype", "rcode"),
    [
        ("none.cluster.test.", "A", wire.NXDOMAIN),
        ("x.n1.cluster.test.", "A", wire.NXDOMAIN),
        ("n2.cluster.test.", "AAAA", wire.NOERROR),
        ("_tcp.cluster.test.", "SRV", wire.NOERROR),
        ("cluster.test.", "A", wire.NOERROR),
        ("99.0.77.10.in-addr.arpa.", "PTR", wire.NXDOMAIN),
        ("0.77.10.in-addr.arpa.", "PTR", wire.NOERROR),
        ("a.0.77.10.in-addr.arpa.", "PTR", wire.NXDOMAIN),
        ("0.0.0.0.0.0.0.0.7.7.0.0.0.0.d.f.ip6.arpa.", "PTR", wire.NOERROR),
        ("b\\195\\188.cluster.test.", "A", wire.NXDOMAIN),
        ("a\\.b.cluster.test.", "A", wire.NXDOMAIN),
    ],
)
def test_negative_answers_carry_the_soa(name, qtype, rcode):
    answer = ask(name, qtype)
    assert (answer.rcode, answer.authoritative, answer.answer) == (rcode, True, ())
    ((apex, ttl, soa),) = answer.authority
    assert soa.type == "SOA" and ttl == ZONES.negative_ttl
    assert name.rstrip(".").endswith(apex)


def test_reverse():
    assert data(ask("11.0.77.10.in-addr.arpa.", "PTR")) == [("PTR", "n1.cluster.test")]
    assert data(ask("12.1.77.10.in-addr.arpa.", "PTR")) == [("PTR", "n2.cluster.test")]
    name = "1.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.7.7.0.0.0.0.d.f.ip6.arpa."
    assert data(ask(name, "PTR")) == [("PTR", "n1.cluster.test")]


def test_the_zone_itself():
    hosts = Hosts()
    hosts.serial = 2**32 + 9
    ((_, _, soa),) = ask("cluster.test.", "SOA", hosts=hosts).answer
    assert soa.data.split()[:3] == ["boot.cluster.test", "hostmaster.cluster.test", "9"]
    answer = ask("cluster.test.", "NS")
    assert data(answer) == [("NS", "boot.cluster.test")]
    assert [(n, r.data) for n, _, r in answer.additional] == [("boot.cluster.test", "10.77.0.1")]


def test_services_bring_their_address():
    answer = ask("_http._tcp.cluster.test.", "SRV")
    assert data(answer) == [("SRV", "0 5 8080 boot.cluster.test")]
    assert [r.data for _, _, r in answer.additional] == ["10.77.0.1"]


def test_aliases_are_followed_as_far_as_we_know():
    assert data(ask("www.cluster.test.")) == [("CNAME", "N1.cluster.test"), ("A", "10.77.0.11")]
    assert data(ask("www.cluster.test.", "CNAME")) == [("CNAME", "N1.cluster.test")]
    dead = ask("dead.cluster.test.")
    assert dead.rcode == wire.NXDOMAIN and data(dead) == [("CNAME", "none.cluster.test")] and dead.authority
    nothing = ask("www.cluster.test.", "TXT")
    assert nothing.rcode == 0 and nothing.authority
    away = ask("away.cluster.test.")
    assert away.rcode == 0 and not away.authority and data(away) == [("CNAME", "example.org")]
    assert ask("loop.cluster.test.").rcode == 0


def test_any_gets_one_type():
    assert {kind for kind, _ in data(ask("n1.cluster.test.", "ANY"))} == {"A"}


def test_refusals():
    assert ask("n1.cluster.test.", "AXFR").rcode == wire.REFUSED
    assert ask("n1.cluster.test.", "A", rdclass="CH").rcode == wire.REFUSED
    assert ask("n1.cluster.test.", "A", use_edns=1).rcode == wire.BADVERS
    raw = bytearray(dns.message.make_query("n1.cluster.test.", "A").to_wire())
    raw[2] |= 4 << 3  # NOTIFY
    assert Resolver(ZONES, Hosts()).resolve(wire.parse(bytes(raw)), INSIDE).rcode == wire.NOTIMP


def test_other_names_are_forwarded_for_our_own_networks_only():
    assert ask("example.org.").rcode == wire.REFUSED
    assert ask("example.org.", forwarding=True) == Forward()
    assert ask("example.org.", peer="127.0.0.1", forwarding=True) == Forward()
    refused = ask("example.org.", peer=OUTSIDE, forwarding=True)
    assert refused.rcode == wire.REFUSED and not refused.recursion_available
    assert ask("example.org.", forwarding=True, flags=0).rcode == wire.REFUSED, "recursion was not desired"
    assert ask("mycluster.test.", forwarding=True) == Forward()
    assert ask("n1.cluster.test.", peer=OUTSIDE, forwarding=True).authoritative


@pytest.mark.parametrize(
    ("network", "zones"),
    [
        ("10.0.0.0/8", ["10.in-addr.arpa"]),
        ("10.77.0.0/24", ["0.77.10.in-addr.arpa"]),
        ("10.77.0.0/23", ["0.77.10.in-addr.arpa", "1.77.10.in-addr.arpa"]),
        ("10.77.0.64/26", ["0.77.10.in-addr.arpa"]),
        ("10.77.0.1/32", ["0.77.10.in-addr.arpa"]),
        ("fd00:77::/32", ["7.7.0.0.0.0.d.f.ip6.arpa"]),
        ("fd00::/14", [f"{d}.0.d.f.ip6.arpa" for d in "0123"]),
    ],
)
def test_reverse_zones(network, zones):
    assert list(reverse_zones(ip_network(network))) == zones


def test_reverse_names():
    assert str(address_of("11.0.77.10.in-addr.arpa")) == "10.77.0.11"
    for bad in ("011.0.77.10.in-addr.arpa", "300.0.77.10.in-addr.arpa", "0.77.10.in-addr.arpa", "x.ip6.arpa"):
        assert address_of(bad) is None
