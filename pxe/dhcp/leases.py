"""Who has which address: the table in memory, loaded from and written to ports.Leases.

RFC 2131 sections 3.1 and 4.3. The laws: an address belongs to at most one client at a time; a client that
comes back gets what it had as long as nobody else got it; nothing is bound in memory only (each change is a
Lease to commit, and `undo` takes it back when that failed). An offer is a promise for OFFER_SECONDS, kept
in memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from math import inf

from pxe.dhcp.pool import FreeAddresses
from pxe.dhcp.ports import Client, Lease, Stage

OFFER_SECONDS = 60.0
DECLINED_SECONDS = 3600.0
CHECKED_SECONDS = 120.0  # how long an address that nobody answered for counts as unused
NEVER = float(1 << 53)  # the end of a lease for ever; exact as a float and as an SQL integer


@dataclass(slots=True)
class Binding:
    """A lease and what only matters here: `booting` says a boot program holds it, which its successor may
    take."""

    lease: Lease
    booting: bool = False


@dataclass(slots=True)
class Change:
    """A lease to commit, and how to take it back."""

    lease: Lease
    before: Binding | None


def key_of(client: Client) -> bytes:
    """RFC 2131 section 4.2: the client identifier if there is one, else the hardware address."""
    return client.client_id or client.mac.encode()


def _owner(lease: Lease) -> bytes:
    return lease.client_id or lease.mac.encode()


class LeaseTable:
    """All addresses of all subnets. `now` is epoch seconds everywhere."""

    def __init__(self, pools: Iterable[FreeAddresses], reserved: Callable[[IPv4Address], bool]) -> None:
        self._pools = tuple(pools)
        self._reserved = reserved
        self._bindings: dict[int, Binding] = {}
        self._by_key: dict[bytes, int] = {}
        self._by_mac: dict[str, int] = {}
        self._offers: dict[int, tuple[bytes, float]] = {}
        self._offered_to: dict[bytes, int] = {}
        self._offer_ends: deque[tuple[float, int]] = deque()
        self._checked: dict[int, float] = {}
        self.never: set[int] = set()  # routers and our own addresses

    def load(self, leases: Iterable[Lease]) -> None:
        """Take over what is on record, at start; the last to end is what a client had last."""
        for lease in sorted(leases, key=lambda lease: lease.expires):
            self._put(Binding(lease))

    def __len__(self) -> int:
        return len(self._bindings)

    def get(self, address: IPv4Address) -> Lease | None:
        """The last lease of an address, ended or not."""
        binding = self._bindings.get(int(address))
        return binding.lease if binding else None

    def holder(self, address: IPv4Address, now: float) -> Lease | None:
        """The lease that keeps this address from others now: bound, or resting after a DECLINE."""
        binding = self._bindings.get(int(address))
        if binding is None or binding.lease.expires <= now or binding.lease.state == "released":
            return None
        return binding.lease

    def belongs(self, address: IPv4Address, client: Client, now: float) -> bool:
        """Whether this client may have this address as far as leases and offers go."""
        number, key = int(address), key_of(client)
        offer = self._offers.get(number)
        if offer is not None and offer[1] > now and offer[0] != key:
            return False
        holder = self.holder(address, now)
        return holder is None or self._may_take(self._bindings[number], client)

    def _may_take(self, binding: Binding, client: Client) -> bool:
        """The holder itself, or the same machine one step further in its boot.

        Firmware, iPXE and system send different client identifiers from one card, one after the other.
        Only one of them runs, so the address moves on; two systems behind one card (ipvlan) stay two
        clients.
        """
        lease = binding.lease
        if lease.state != "bound":
            return False
        if _owner(lease) == key_of(client):
            return True
        return lease.mac == client.mac and (binding.booting or client.stage is not Stage.SYSTEM)

    def known(self, client: Client) -> IPv4Address | None:
        """The address this client had last, if nobody else got it since."""
        number = self._by_key.get(key_of(client))
        if number is None:
            number = self._by_mac.get(client.mac)
            if number is None:
                return None
            binding = self._bindings[number]
            if binding.lease.state == "bound" and not self._may_take(binding, client):
                return None
        return None if self._bindings[number].lease.state == "declined" else IPv4Address(number)

    def offered(self, client: Client, now: float) -> IPv4Address | None:
        """What we promised this client a moment ago."""
        number = self._offered_to.get(key_of(client))
        return None if number is None or self._offers[number][1] <= now else IPv4Address(number)

    def offer(self, address: IPv4Address, client: Client, now: float) -> None:
        """Promise an address for OFFER_SECONDS."""
        self._end_offers(now)
        number, key = int(address), key_of(client)
        self._withdraw(self._offered_to.get(key))
        self._withdraw(number)
        until = now + OFFER_SECONDS
        self._offers[number] = (key, until)
        self._offered_to[key] = number
        self._offer_ends.append((until, number))

    def _withdraw(self, number: int | None) -> None:
        if number is not None and number in self._offers:
            key, _until = self._offers.pop(number)
            del self._offered_to[key]

    def doubtful(self, address: IPv4Address, now: float) -> bool:
        """Whether it should be looked for on the wire before it is offered: nobody holds it and nobody has
        looked lately. (Who holds it may answer for it, rightly.)"""
        return self._checked.get(int(address), 0.0) <= now and self.holder(address, now) is None

    def checked(self, address: IPv4Address, now: float) -> None:
        """Nobody answered for it."""
        if len(self._checked) > 10_000:
            self._checked = {number: until for number, until in self._checked.items() if until > now}
        self._checked[int(address)] = now + CHECKED_SECONDS

    def taken(self, address: IPv4Address, mac: str, now: float) -> Change:
        """Somebody without a lease (`mac`) answered for it: it rests, its promise is off."""
        self._withdraw(int(address))
        self._checked.pop(int(address), None)
        return self.rest(address, mac, now)

    def withdraw(self, client: Client) -> None:
        """The client chose another server's offer: its address is free at once."""
        number = self._offered_to.get(key_of(client))
        if number is not None:
            self._withdraw(number)
            self._give_back(number, 0.0)

    def _end_offers(self, now: float) -> None:
        """Drop promises that ran out; each is looked at once. A clock set back must not freeze the queue."""
        ends = self._offer_ends
        while ends and (ends[0][0] <= now or ends[0][0] > now + OFFER_SECONDS):
            until, number = ends.popleft()
            offer = self._offers.get(number)
            if offer is not None and offer[1] == until:
                self._withdraw(number)
                if number not in self._bindings:
                    self._give_back(number, until)

    def _give_back(self, number: int, when: float) -> None:
        for pool in self._pools:
            if number in pool:
                pool.returned(number, when)
                return

    def pick(self, pools: Iterable[FreeAddresses], now: float) -> IPv4Address | None:
        """A free address of the first of these pools that has one."""
        self._end_offers(now)
        for pool in pools:
            number = pool.pick(now, self._free_at)
            if number is not None:
                return IPv4Address(number)
        return None

    def _free_at(self, number: int) -> float:
        """When it may be given to anybody; infinity for what is reserved or ours."""
        if number in self.never or self._reserved(IPv4Address(number)):
            return inf
        offer = self._offers.get(number)
        binding = self._bindings.get(number)
        ends = 0.0 if offer is None else offer[1]
        if binding is not None and binding.lease.state != "released":
            ends = max(ends, binding.lease.expires)
        return ends

    def free(self, address: IPv4Address, now: float) -> bool:
        """Whether anybody may have it: not leased, promised, reserved, or ours."""
        return self._free_at(int(address)) <= now

    def bind(self, address: IPv4Address, client: Client, expires: float, hostname: str) -> Change:
        """Give an address; the caller has made sure that it `belongs` to the client."""
        lease = Lease(address, client.mac, client.client_id, expires, hostname)
        self._withdraw(int(address))
        return self._change(Binding(lease, client.stage is not Stage.SYSTEM))

    def release(self, address: IPv4Address, client: Client, now: float) -> Change | None:
        """RFC 2131 section 4.3.4; None when the address is not this client's."""
        holder = self.holder(address, now)
        if holder is None or holder.state != "bound" or _owner(holder) != key_of(client):
            return None
        return self._change(
            Binding(Lease(address, holder.mac, holder.client_id, now, holder.hostname, "released"))
        )

    def take_back(self, address: IPv4Address, now: float) -> Change | None:
        """A person ends a lease, or a rest; None when nobody has it."""
        binding = self._bindings.get(int(address))
        if binding is None:
            return None
        return self._change(Binding(replace(binding.lease, state="released", expires=now)))

    def decline(self, address: IPv4Address, client: Client, now: float) -> Change | None:
        """RFC 2131 section 4.3.3: somebody else uses it. It rests; None when it was not this client's to
        decline."""
        if self.holder(address, now) is None or not self._may_take(self._bindings[int(address)], client):
            return None
        return self.rest(address, client.mac, now)

    def rest(self, address: IPv4Address, mac: str, now: float) -> Change:
        """Keep an address from everybody for DECLINED_SECONDS, because it was seen in use."""
        return self._change(Binding(Lease(address, mac, None, now + DECLINED_SECONDS, "", "declined")))

    def shift(self, seconds: float) -> list[Lease]:
        """The clock was set by this much: all ends move with it. Gives the leases to store again."""
        moved = []
        for binding in self._bindings.values():
            if binding.lease.expires < NEVER:
                ends = min(max(binding.lease.expires + seconds, 0.0), NEVER - 1)
                binding.lease = replace(binding.lease, expires=ends)
                moved.append(binding.lease)
        self._offers = {number: (key, until + seconds) for number, (key, until) in self._offers.items()}
        self._offer_ends = deque((until + seconds, number) for until, number in self._offer_ends)
        self._checked = {number: until + seconds for number, until in self._checked.items()}
        for pool in self._pools:
            pool.shift(seconds)
        return moved

    def undo(self, change: Change) -> None:
        """Take back a change that could not be stored, unless a later one replaced it."""
        number = int(change.lease.address)
        binding = self._bindings.get(number)
        if binding is None or binding.lease is not change.lease:
            return
        if change.before is not None:
            self._put(change.before)
        else:
            self._forget(number)
            del self._bindings[number]
            self._give_back(number, 0.0)

    def _change(self, binding: Binding) -> Change:
        before = self._bindings.get(int(binding.lease.address))
        self._put(binding)
        return Change(binding.lease, before)

    def _put(self, binding: Binding) -> None:
        lease = binding.lease
        number = int(lease.address)
        self._forget(number)
        self._bindings[number] = binding
        if lease.state != "declined":
            self._by_key[_owner(lease)] = number
            self._by_mac[lease.mac] = number
        if lease.expires < NEVER:
            self._give_back(number, lease.expires)

    def _forget(self, number: int) -> None:
        """Unlink who had it; the indexes may already point to a newer address of the same client."""
        old = self._bindings.get(number)
        if old is None:
            return
        if self._by_key.get(_owner(old.lease)) == number:
            del self._by_key[_owner(old.lease)]
        if self._by_mac.get(old.lease.mac) == number:
            del self._by_mac[old.lease.mac]
