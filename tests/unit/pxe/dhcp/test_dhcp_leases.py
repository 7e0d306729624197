"""The lease table under random histories: no address with two owners, nothing lost, nothing leaked."""

from __future__ import annotations

from ipaddress import IPv4Address

from dhcp_house import House, Net, discover, message, select
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pxe.dhcp.codes import Kind
from pxe.dhcp.leases import OFFER_SECONDS
from pxe.dhcp.ports import Host

MACS = [f"52:54:00:00:00:{n:02x}" for n in range(1, 9)]
macs = st.sampled_from(MACS)


class Machines(RuleBasedStateMachine):
    """Eight machines, five pool addresses, a flaky disk, restarts and a clock that moves on."""

    def __init__(self) -> None:
        super().__init__()
        self.house = House()
        self.net = self.boot()
        self.holds: dict[str, tuple[IPv4Address, float]] = {}  # what each machine believes, as ACKed

    def boot(self) -> Net:
        return Net(self.house, pools=["10.77.0.100-10.77.0.104"])

    @rule(seconds=st.sampled_from([1, 30, OFFER_SECONDS + 1, 1800, 3601]))
    def time_goes_on(self, seconds: float) -> None:
        self.net.now += seconds

    @rule(mac=macs, ends_early=st.booleans())
    def boots(self, mac: str, ends_early: bool) -> None:
        offer = self.net.ask(discover(mac))
        if offer is None or ends_early:
            return
        self.take(mac, select(offer, mac))

    @rule(mac=macs)
    def renews(self, mac: str) -> None:
        if mac in self.holds:
            address, until = self.holds[mac]
            if until > self.net.now:
                self.take(mac, message(Kind.REQUEST, mac, ciaddr=address), source=address)

    @rule(mac=macs, number=st.integers(99, 105))
    def remembers_something(self, mac: str, number: int) -> None:
        address = IPv4Address(f"10.77.0.{number}")
        self.take(mac, message(Kind.REQUEST, mac, {50: address.packed}))

    @rule(mac=macs)
    def releases(self, mac: str) -> None:
        if mac in self.holds:
            address, _until = self.holds.pop(mac)
            self.net.handle(message(Kind.RELEASE, mac, ciaddr=address), source=address)

    @rule(mac=macs)
    def declines(self, mac: str) -> None:
        if mac in self.holds:
            address, _until = self.holds.pop(mac)
            self.net.handle(message(Kind.DECLINE, mac, {50: address.packed}))

    @rule(mac=macs, number=st.integers(100, 106))
    def is_given_a_reservation(self, mac: str, number: int) -> None:
        address = IPv4Address(f"10.77.0.{number}")
        if not self.house.reserved(address):
            self.house.hosts[mac] = Host("n", address)

    @rule(mac=macs)
    def loses_its_reservation(self, mac: str) -> None:
        self.house.hosts.pop(mac, None)

    @rule()
    def the_server_is_killed(self) -> None:
        now = self.net.now
        self.net = self.boot()
        self.net.now = now

    def take(self, mac: str, packet, **arrival) -> None:  # type: ignore[no-untyped-def]
        reply = self.net.ask(packet, **arrival)
        if reply is None:
            return
        if reply.kind is Kind.NAK:
            self.holds.pop(mac, None)
            return
        seconds = int.from_bytes(reply.packet.options[51], "big")
        self.holds[mac] = (reply.packet.yiaddr, self.net.now + seconds)

    @invariant()
    def no_address_with_two_owners(self) -> None:
        live = [address for address, until in self.holds.values() if until > self.net.now]
        assert len(live) == len(set(live)), self.holds

    @invariant()
    def what_a_machine_holds_is_on_record(self) -> None:
        for mac, (address, until) in self.holds.items():
            if until > self.net.now:
                lease = self.house.kept[address]
                assert (lease.mac, lease.state, lease.expires) == (mac, "bound", until)

    @invariant()
    def memory_is_bounded(self) -> None:
        for zone in self.net.responder.zones.all:
            for pool in zone.pools:
                assert len(pool._queued) <= 5 and len(pool._ended) <= 40


Machines.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestRandomHistories = Machines.TestCase


class TestUndo:
    """A batch that could not be stored never happened."""

    def test_a_first_lease(self) -> None:
        net = Net(pools=["10.77.0.100"])
        offer = net.ask(discover())
        assert offer is not None
        change = net.responder.handle(select(offer), net.arrival, net.now).changes[0]
        net.responder.table.undo(change)
        assert net.lease(MACS[5]) == IPv4Address("10.77.0.100")

    def test_a_renewal(self) -> None:
        net = Net()
        address = net.lease()
        before = net.responder.table.get(address)
        net.now += 100
        out = net.responder.handle(message(Kind.REQUEST, ciaddr=address), net.arrival, net.now)
        assert net.responder.table.get(address) != before
        net.responder.table.undo(out.changes[0])
        assert net.responder.table.get(address) == before

    def test_only_the_latest_change_counts(self) -> None:
        net = Net()
        address = net.lease()
        renew = message(Kind.REQUEST, ciaddr=address)
        first = net.responder.handle(renew, net.arrival, net.now).changes[0]
        second = net.responder.handle(renew, net.arrival, net.now + 5).changes[0]
        net.responder.table.undo(first)
        assert net.responder.table.get(address) == second.lease


def test_memory_of_many_renewals() -> None:
    net = Net()
    address = net.lease()
    for _ in range(2000):
        net.now += 60
        net.ask(message(Kind.REQUEST, ciaddr=address), source=address)
    (pool,) = net.responder.zones.all[0].pools
    assert len(pool._ended) < 10
    assert len(net.responder.table._offer_ends) < 10
