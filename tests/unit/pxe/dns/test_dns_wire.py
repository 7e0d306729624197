"""DNS messages: the fuzz law, and dnspython as an independent reader and writer."""

import dns.flags
import dns.message
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pxe.dns import foreign, wire
from pxe.dns.ports import Record
from pxe.dns.wire import Answer, FormatError, Query
from pxe.errors import WireError

LABEL = st.text(st.characters(codec="ascii", categories=["Ll", "Lu", "Nd"]), min_size=1, max_size=20)
NAME = st.lists(LABEL, max_size=6).map(lambda labels: ".".join(labels) + ".")


def parses_or_refuses(raw: bytes) -> Query | None:
    try:
        return wire.parse(raw)
    except FormatError as error:
        assert error.reply[:2] == raw[:2] and len(error.reply) == 12
        assert dns.message.from_wire(error.reply).rcode() == 1
    except WireError as error:
        assert str(error)
    return None


@given(NAME, st.integers(1, 255), st.sampled_from([None, 0]), st.booleans())
def test_what_dnspython_asks_is_understood(name, qtype, edns, dnssec):
    question = dns.message.make_query(
        name, qtype, use_edns=edns is not None, want_dnssec=dnssec and edns == 0
    )
    query = wire.parse(question.to_wire())
    assert query.id == question.id and query.qtype == qtype and query.qclass == 1
    assert query.name == name.rstrip(".").lower()
    assert (query.edns is not None) == (edns == 0)
    assert query.recursion_desired


@given(st.binary(max_size=600))
def test_any_bytes_parse_or_are_refused(raw):
    parses_or_refuses(raw)


@given(st.binary(max_size=200), st.integers(0, 3), st.integers(0, 3), st.integers(0, 65535))
def test_any_bytes_behind_a_header(rest, questions, additional, flags):
    head = wire.HEADER.pack(7, flags & 0x7FFF, questions, 0, 0, additional)
    parses_or_refuses(head + rest)


def test_every_truncation_and_every_bit_flip():
    raw = dns.message.make_query("n1.Cluster.test.", "A", use_edns=0).to_wire()
    for end in range(len(raw)):
        parses_or_refuses(raw[:end])
    for bit in range(len(raw) * 8):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        query = parses_or_refuses(bytes(flipped))
        if query is not None:
            reply = wire.build(query, Answer(wire.NXDOMAIN), 512)
            assert wire.HEADER.unpack_from(reply)[0] == query.id


@pytest.mark.parametrize(
    "raw",
    [
        b"\0\1\1\0" + b"\0\2" + bytes(6) + b"\0\0\1\0\1" * 2,  # two questions
        b"\0\1\1\0" + b"\0\1" + bytes(6) + b"\xc0\x0c\0\1\0\1",  # a name that points at itself
        b"\0\1\1\0" + b"\0\1" + bytes(6) + b"\x3f" + b"x" * 30,
        b"\0\1\1\0" + b"\0\1" + bytes(4) + b"\xff\xff\0\0\1\0\1",  # records that are not there
        b"\0\1\1\0" + b"\0\1" + bytes(6) + b"\x3e" + b"x" * 62 + (b"\x3e" + b"y" * 62) * 4 + b"\0\0\1\0\1",
    ],
)
def test_format_errors_deserve_a_reply(raw):
    with pytest.raises(FormatError):
        wire.parse(raw)


def test_a_response_is_dropped_without_a_word():
    raw = dns.message.make_response(dns.message.make_query("a.", "A")).to_wire()
    with pytest.raises(WireError) as caught:
        wire.parse(raw)
    assert not isinstance(caught.value, FormatError)


RECORDS = (
    ("n1.cluster.test", 60, Record("A", "10.77.0.11")),
    ("n1.cluster.test", 60, Record("AAAA", "fd00::11")),
    ("www.cluster.test", 5, Record("CNAME", "n1.cluster.test")),
    ("11.0.77.10.in-addr.arpa", 60, Record("PTR", "n1.cluster.test")),
    ("cluster.test", 60, Record("NS", "boot.cluster.test")),
    ("_http._tcp.cluster.test", 60, Record("SRV", "0 5 8080 boot.cluster.test")),
    ("n1.cluster.test", 60, Record("TXT", "a" * 300)),
    ("cluster.test", 60, Record("SOA", "boot.cluster.test hostmaster.cluster.test 7 1 2 3 4")),
)


@pytest.mark.parametrize("entry", RECORDS, ids=lambda entry: entry[2].type)
def test_dnspython_reads_what_we_build(entry):
    name, ttl, record = entry
    question = dns.message.make_query("WwW.cLuster.test.", record.type, use_edns=0)
    query = wire.parse(question.to_wire())
    reply = dns.message.from_wire(wire.build(query, Answer(0, True, answer=(entry,)), 1232))
    assert reply.id == question.id
    assert str(reply.question[0].name) == "WwW.cLuster.test."
    assert reply.flags & dns.flags.AA and reply.edns == 0
    found = reply.answer[0]
    assert str(found.name).lower() == name + "." and found.ttl == ttl
    text = found[0].to_text().replace('" "', "").strip('"')
    assert text.lower().replace(". ", " ").rstrip(".") == record.data


def test_too_large_an_answer_is_marked_and_empty():
    query = wire.parse(dns.message.make_query("n1.cluster.test.", "TXT").to_wire())
    many = tuple(("n1.cluster.test", 60, Record("TXT", f"{i}" + "x" * 200)) for i in range(9))
    reply = dns.message.from_wire(wire.build(query, Answer(0, True, answer=many), query.room(False)))
    assert reply.flags & dns.flags.TC and not reply.answer
    whole = dns.message.from_wire(wire.build(query, Answer(0, True, answer=many), query.room(True)))
    assert len(whole.answer[0]) == 9


def test_a_kept_reply_fits_the_next_asker():
    first = wire.parse(dns.message.make_query("n1.cluster.test.", "A").to_wire())
    raw = wire.build(first, Answer(0, True, answer=RECORDS[:1]), 512)
    question = dns.message.make_query("N1.CLUSTER.test.", "A", flags=0)
    again = dns.message.from_wire(wire.reuse(raw, wire.parse(question.to_wire())))
    assert question.is_response(again)
    assert not again.flags & dns.flags.RD and str(again.question[0].name) == "N1.CLUSTER.test."
    assert again.answer[0][0].address == "10.77.0.11"


def test_a_foreign_reply_counts_down_and_forged_ones_are_refused():
    question = dns.message.make_query("example.org.", "A", use_edns=0)
    query = wire.parse(question.to_wire())
    asked = dns.message.from_wire(foreign.ask(query, 99))
    reply = dns.message.make_response(asked, recursion_available=True)
    reply.answer.append(dns.rrset.from_text("example.org.", 300, "IN", "A", "192.0.2.1"))
    raw = reply.to_wire()
    got = foreign.parse_foreign(raw, 99, query)
    assert (got.rcode, got.truncated, got.ttl) == (0, False, 300)
    assert dns.message.from_wire(got.aged(100)).answer[0].ttl == 200
    assert dns.message.from_wire(got.aged(1000)).answer[0].ttl == 0
    with pytest.raises(WireError):
        foreign.parse_foreign(raw, 98, query)
    other = wire.parse(dns.message.make_query("EXAMPLE.org.", "A", use_edns=0).to_wire())
    with pytest.raises(WireError):
        foreign.parse_foreign(raw, 99, other)


@given(st.binary(max_size=300))
def test_any_foreign_bytes_are_read_or_refused(rest):
    query = wire.parse(dns.message.make_query("a.", "A").to_wire())
    for raw in (rest, wire.HEADER.pack(5, 0x8180, 1, 2, 1, 1) + query.question + rest):
        try:
            reply = foreign.parse_foreign(raw, 5, query)
        except WireError:
            continue
        assert len(reply.aged(10**6)) == len(raw)
