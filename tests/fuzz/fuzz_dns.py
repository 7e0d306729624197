"""Coverage-guided fuzzing of DNS, from the bytes to the answer; dnspython checks what we say.

    python tests/fuzz/fuzz_dns.py CORPUS-DIRECTORY [libFuzzer options, such as -max_total_time=60]

The laws: any bytes are a Query or a WireError; every query gets an answer that fits, has its id and its
question, and that dnspython can read; another asker's copy of it is the same; strangers' names are never
forwarded for strangers.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris
import dns.exception
import dns.message
import dns.rrset

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests/unit/pxe/dns")]

with atheris.instrument_imports(include=["pxe"]):
    from pxe.dns import foreign, wire
    from pxe.dns.resolver import Forward, Resolver
    from pxe.errors import WireError
with atheris.instrument_imports(include=["pxe"]):
    from dns_house import ZONES, Hosts

HOSTS = Hosts()
ASKED = wire.parse(dns.message.make_query("example.org.", "A").to_wire())
RESOLVER = Resolver(ZONES, HOSTS, forwarding=True)


def seeds() -> list[bytes]:
    """Questions of every kind that we answer, and some that we refuse."""
    names = [
        *HOSTS.names,
        "cluster.test",
        "11.0.77.10.in-addr.arpa",
        "0.77.10.in-addr.arpa",
        "example.org",
        "",
    ]
    asked = [(name, kind) for name in names for kind in ("A", "SOA", "ANY", "AXFR")]
    asked += [("N1.Cluster.TEST", "AAAA"), ("_http._tcp.cluster.test", "SRV"), ("big.cluster.test", "TXT")]
    found = []
    edns = {"use_edns": 0, "payload": 4096, "want_dnssec": True}
    for name, kind in asked:
        found.append(dns.message.make_query(name + ".", kind, use_edns=False).to_wire())
        found.append(dns.message.make_query(name + ".", kind, **edns).to_wire())
    reply = dns.message.make_response(dns.message.make_query("example.org.", "A"))
    reply.answer.append(dns.rrset.from_text("example.org.", 60, "IN", "A", "192.0.2.1", "192.0.2.2"))
    found.append(reply.to_wire())
    return found


def one(data: bytes) -> None:
    """One input; raises what must not happen."""
    try:
        theirs = foreign.parse_foreign(data, int.from_bytes(data[:2], "big"), ASKED)
        assert len(theirs.aged(7)) == len(data)
    except WireError:
        pass
    try:
        query = wire.parse(data)
    except wire.FormatError as error:
        assert len(error.reply) == 12 and error.reply[:2] == data[:2] and error.reply[2] & 0x80
        return
    except WireError:
        return
    stranger = RESOLVER.resolve(query, "198.51.100.7")
    assert not isinstance(stranger, Forward)
    answer = RESOLVER.resolve(query, "10.77.0.11")
    if isinstance(answer, Forward):
        return
    for tcp in (False, True):
        raw = wire.build(query, answer, query.room(tcp))
        assert len(raw) <= max(query.room(tcp), 12 + len(query.question) + 11)
        assert raw[:2] == data[:2] and raw[12 : 12 + len(query.question)] == query.question
        assert wire.reuse(raw, query) == raw
        try:
            dns.message.from_wire(raw)
        except dns.exception.DNSException as error:
            if query.opcode == 0:  # of the others it has rules for what an UPDATE must look like
                raise AssertionError(f"dnspython cannot read our reply: {error!r}") from error


if __name__ == "__main__":
    from harness import fuzz, recorded

    fuzz(one, seeds() + recorded("dns"))
