"""The DHCP service: reads what waits, lets the responder decide, commits the leases, then sends.

Sockets are in `sockets`, decisions in `responder`. The laws: an ACK leaves only after `Leases.commit`
returned (RFC 2131 section 4.3.1: the client may use it from then on); when leases cannot be stored,
reservations and boot go on and the rest is silence; no packet and no single failing look-up ends the
service; when the clock is set, leases neither end early nor last for years.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pxe.dhcp import wire
from pxe.dhcp.checks import Checks, Held
from pxe.dhcp.outcome import Note, Outcome, Step
from pxe.dhcp.pace import FULL, Pace
from pxe.dhcp.ports import Boots, Hosts, Journal, Leases
from pxe.dhcp.probe import SECONDS
from pxe.dhcp.replies import ESSENTIAL, Reply
from pxe.dhcp.responder import Responder
from pxe.dhcp.rivals import EVERY_SECONDS, Rivals
from pxe.dhcp.sending import Sending
from pxe.dhcp.sockets import Port
from pxe.dhcp.steady import Steady, boot_seconds
from pxe.dhcp.storing import Decided, Storing
from pxe.dhcp.subnet import Subnet
from pxe.dhcp.zones import Arrival
from pxe.errors import ForeignServer, WireError

log = logging.getLogger("pxe.dhcp")

REFRESH_SECONDS = 5.0  # how often our own addresses are read again
TAKE_BACK_SECONDS = 0.5  # how soon a lease is free that a person ended
ALARM_SECONDS = 60.0  # the same trouble is told again after this
CHECK_SECONDS = 0.3  # firmware waits for an offer for 4 s, iPXE for 1 s
MOST_TRIES = 8  # addresses looked for on the wire before a client has to ask again


@dataclass(frozen=True, slots=True)
class DhcpConfig:
    """What the server is to do. An empty `interfaces` answers nobody."""

    interfaces: tuple[str, ...]
    subnets: tuple[Subnet, ...]
    domain: str = ""  # option 15 where no level sets `domain-name`
    port: int = 67
    proxy_port: int = 4011  # 0: none
    force: bool = False  # serve as authority even though another server answers
    probe_seconds: float = SECONDS  # how long start() listens for another server; 0: never probe
    watch_seconds: float = EVERY_SECONDS  # from one look for another server to the next
    check_seconds: float = (
        CHECK_SECONDS  # how long an address nobody holds is looked for before it is offered; 0: not
    )


@dataclass(slots=True)
class Counters:
    """Since start, in packets."""

    received: int = 0
    malformed: int = 0
    sent: int = 0
    unsent: int = 0  # the network refused it
    withheld: int = 0  # the lease could not be stored
    failed: int = 0  # a look-up raised
    taken: int = 0  # addresses that somebody used without a lease


class DhcpServer:
    """One per process. Runs in the event loop that `start` is awaited in."""

    def __init__(
        self,
        config: DhcpConfig,
        hosts: Hosts,
        boots: Boots,
        leases: Leases,
        journal: Journal,
        clock: Callable[[], float] = time.time,
        even: Callable[[], float] = boot_seconds,
    ) -> None:
        self.config = config
        self.counters = Counters()
        self._hosts = hosts
        self._boots = boots
        self._leases = leases
        self._journal = journal
        self._clock = clock
        self._steady = Steady(clock, even)
        self._checks = Checks(config.check_seconds, self._free, self._taken)
        self._ports: list[Port] = []
        self._pace = Pace(self._readable, self._listen, self._deafen)
        self._sending = Sending(self._send)
        self._responder: Responder | None = None
        self._storing: Storing | None = None
        self._rivals: Rivals | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._told: dict[str, float] = {}

    async def start(self) -> None:
        """Open the sockets. Raises OSError (port, interface, capability) or ForeignServer (see `force`)."""
        config = self.config
        self._responder = Responder(
            config.subnets, config.domain, self._hosts, self._boots, self._leases.load()
        )
        self._storing = Storing(self._leases, self._responder.table, self._answer)
        self._rivals = Rivals(self._ports, self._responder.zones, config.probe_seconds, self._alarm)
        try:
            for name in dict.fromkeys(config.interfaces):
                self._ports.append(Port(name, config.port, config.proxy_port))
            self._mark_own()
            if config.probe_seconds and not config.force:
                found = await self._rivals.found()
                if found:
                    raise ForeignServer(
                        f"{found[0]}; two authorities on one network give machines wrong addresses: "
                        'switch that one off, set mode = "proxy" here, or force = true under [dhcp]'
                    )
        except BaseException:
            await self.close()
            raise
        self._listen()
        loop = asyncio.get_running_loop()
        self._tasks.append(loop.create_task(self._refresh()))
        self._tasks.append(loop.create_task(self._hear_people()))
        if config.probe_seconds:
            self._tasks.append(loop.create_task(self._rivals.watch(config.watch_seconds)))

    async def close(self) -> None:
        """Stop answering and close the sockets; safe to call twice."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        self._checks.close()
        self._pace.close()
        for port in self._ports:
            for sock in port.sockets:
                asyncio.get_running_loop().remove_reader(sock.fileno())
        if self._storing is not None:
            await self._storing.close()
        self._sending.close()
        for port in self._ports:
            port.close()
        self._ports.clear()

    def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        for port in self._ports:
            for sock in port.questions:
                loop.add_reader(sock.fileno(), self._pace.heard)
            loop.add_reader(port.arp.socket.fileno(), self._checks.hear, port)

    def _deafen(self) -> None:
        for port in self._ports:
            for sock in port.questions:
                asyncio.get_running_loop().remove_reader(sock.fileno())

    # ---- packets ----

    def _readable(self) -> int:
        """Everything that waits on every interface, as one batch; how many packets these were."""
        before = self.counters.received
        self._look_at_clock()
        self._look_at_hosts()
        outcomes: list[tuple[Port, Outcome]] = []
        for port in self._ports:
            for data, arrival in port.receive(FULL):
                self.counters.received += 1
                try:
                    packet = wire.parse(data)
                except WireError:
                    self.counters.malformed += 1
                    continue
                outcome = self._decide(packet, arrival)
                if outcome.rival is not None and self._rivals is not None:
                    self._rivals.heard_of(outcome.rival, arrival.interface)
                if outcome.trouble is not None:
                    self._alarm(*outcome.trouble)
                if outcome.check is None or not self._checks.hold(Held(port, packet, arrival, outcome)):
                    outcomes.append((port, outcome))
                else:
                    self._tell(note for note in outcome.notes if note.kind != "dhcp.offer")
        self._finish(outcomes)
        return self.counters.received - before

    def _look_at_hosts(self) -> None:
        try:
            self._hosts.look()
        except OSError as error:  # what is known already still serves
            self._alarm("alarm.registry", f"the registry cannot be read: {error}")

    def _decide(self, packet: wire.Packet, arrival: Arrival) -> Outcome:
        assert self._responder is not None
        try:
            return self._responder.handle(packet, arrival, self._clock())
        except Exception:
            # The registry may be unreadable for a moment: this client asks again, the others go on.
            self.counters.failed += 1
            log.exception("no answer to %s on %s", packet.chaddr.hex(":"), arrival.interface)
            return Outcome()

    def _free(self, waited: list[Held]) -> None:
        """Nobody answered for these addresses: their offers leave."""
        assert self._responder is not None
        for held in waited:
            assert held.outcome.check is not None
            self._responder.table.checked(held.outcome.check, self._clock())
            held.outcome.notes = [note for note in held.outcome.notes if note.kind == "dhcp.offer"]
        self._finish([(held.port, held.outcome) for held in waited])

    def _taken(self, held: Held) -> None:
        """Somebody has the address: it rests, and the client is offered another."""
        assert self._responder is not None and self._storing is not None and held.outcome.check is not None
        address, mac = held.outcome.check, (held.taken_by or b"").hex(":")
        self.counters.taken += 1
        change = self._responder.table.taken(address, mac, self._clock())
        text = f"{address} is used by {mac or 'somebody'} without a lease; it is not given out for an hour"
        data = {"address": str(address), "by": mac, "interface": held.arrival.interface}
        retry = Outcome()
        if held.tries < MOST_TRIES:
            retry = self._decide(held.packet, held.arrival)
            retry.notes = [note for note in retry.notes if note.kind != "dhcp.discover"]
        self._storing.rest(change.lease)
        self._tell([Note(held.packet.chaddr.hex(":"), "dhcp.conflict", text, data)])
        again = Held(held.port, held.packet, held.arrival, retry, tries=held.tries + 1)
        if retry.check is None or not self._checks.hold(again):
            self._finish([(held.port, retry)])

    def _look_at_clock(self) -> None:
        """When somebody set the clock, all leases move with it, in memory at once and on disk as soon as it
        can be."""
        jump = self._steady.jumped()
        if jump and self._responder is not None and self._storing is not None:
            moved = self._responder.table.shift(jump)
            self._told.clear()
            self._alarm("alarm.clock", f"the clock was set by {jump:+.0f} s; the leases move with it")
            self._storing.moved(moved)

    def _finish(self, outcomes: Iterable[tuple[Port, Outcome]]) -> None:
        """Store, send, tell: in this order. Who waits for nothing to be stored is answered at once."""
        assert self._storing is not None
        outcomes = list(outcomes)
        self._answer([decided for decided in outcomes if not decided[1].changes], None)
        changing = [decided for decided in outcomes if decided[1].changes]
        if changing:
            self._storing.put(changing)

    def _answer(self, outcomes: Decided, error: OSError | None) -> None:
        """Send what may leave; with `error`, the changes of these outcomes could not be stored."""
        if error is not None:
            self._alarm("alarm.leases", f"leases cannot be stored ({error}); only reservations are answered")
        answers: list[tuple[Port, Reply]] = []
        for port, outcome in outcomes:
            for reply in outcome.replies:
                if reply.change is None or error is None or reply.safe:
                    answers.append((port, reply))
                else:
                    self.counters.withheld += 1
        self._sending.put(answers)
        for _port, outcome in outcomes:
            if outcome.routine and self._journal.rushed():
                self._tell(note for note in outcome.notes if isinstance(note, Note))
            else:
                self._tell(outcome.notes)

    def _send(self, port: Port, reply: Reply) -> None:
        try:
            data, dropped = wire.build_fitting(reply.packet, reply.limit, ESSENTIAL)
            port.send(reply, data)
        except wire.TooLong as error:
            # What must be in the answer is longer than what the client takes: its own doing, so no alarm.
            self.counters.unsent += 1
            log.info("no answer to %s: %s", reply.packet.chaddr.hex(":"), error)
            return
        except (OSError, WireError) as error:
            self.counters.unsent += 1
            self._alarm(
                "alarm.send", f"an answer to {reply.address} on {port.interface.name} was lost: {error}"
            )
            return
        self.counters.sent += 1
        if dropped:
            log.info("no room for options %s in the answer to %s", dropped, reply.packet.chaddr.hex(":"))

    def _tell(self, notes: Iterable[Note | Step]) -> None:
        for note in notes:
            try:
                self._journal.record(note.mac, note.kind, note.text, note.data)
            except Exception:
                # What went out went out; a recorder that is full must not stop the next machine.
                log.exception("not recorded: %s %s", note.kind, note.text)

    def _alarm(self, kind: str, text: str) -> None:
        """Tell trouble once a minute, not once a packet."""
        now = self._clock()
        if abs(now - self._told.get(kind, -ALARM_SECONDS)) >= ALARM_SECONDS:
            self._told[kind] = now
            log.error("%s", text)
            self._tell([Note("", kind, text)])

    # ---- in the background ----

    def _mark_own(self) -> None:
        assert self._responder is not None
        for port in self._ports:
            self._responder.table.never.update(int(own.ip) for own in port.addresses)

    async def _refresh(self) -> None:
        """Addresses come and go while we run; an interface that went away is served again when it is back."""
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            self._look_at_clock()
            for place, port in enumerate(self._ports):
                try:
                    if port.replaced():
                        self._ports[place] = self._reopen(port)
                        self._listen()
                    else:
                        port.refresh()
                except OSError as error:
                    self._alarm("alarm.interface", f"{port.interface.name} cannot be read: {error}")
            self._mark_own()

    async def _hear_people(self) -> None:
        while True:
            await asyncio.sleep(TAKE_BACK_SECONDS)
            self._take_back()

    def _take_back(self) -> None:
        """What a person released is free from now on."""
        assert self._responder is not None and self._storing is not None
        try:
            addresses = list(self._leases.taken_back())
        except OSError as error:
            self._alarm("alarm.leases", f"leases cannot be read: {error}")
            return
        changes = [self._responder.table.take_back(address, self._clock()) for address in addresses]
        self._storing.change(change for change in changes if change is not None)

    def _reopen(self, old: Port) -> Port:
        """The interface was deleted and made again; sockets stay bound to the one that is gone."""
        fresh = Port(old.interface.name, self.config.port, self.config.proxy_port)
        for sock in old.sockets:
            asyncio.get_running_loop().remove_reader(sock.fileno())
        old.close()
        log.warning("%s was made anew: served again", fresh.interface.name)
        return fresh
