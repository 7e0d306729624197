"""The DHCP decision: one packet in, answers and lease changes out.

RFC 2131 sections 3 and 4.3, RFC 1534 (BOOTP), PXE 2.1 section 2.2 (proxyDHCP, boot server). Reads no clock
and touches no socket. The laws: on a proxy network it gives no address and refuses none; it says NAK only
where it is the authority; no answer names an address whose lease is not among its `changes`, to be stored
before sending.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import replace

from pxe.dhcp import codes, options, replies
from pxe.dhcp.addresses import Addresses, Choice
from pxe.dhcp.chain import Chain
from pxe.dhcp.client import describe, is_pxe, sub_options
from pxe.dhcp.codes import Kind
from pxe.dhcp.leases import NEVER, Change, LeaseTable
from pxe.dhcp.naming import Naming, answer_fqdn
from pxe.dhcp.outcome import Note, Outcome
from pxe.dhcp.ports import Boots, Host, Hosts, Lease
from pxe.dhcp.replies import Asked
from pxe.dhcp.subnet import FOR_EVER, MIN_LEASE_SECONDS, Mode, Subnet
from pxe.dhcp.wire import NO_ADDRESS, REQUEST, Packet
from pxe.dhcp.zones import Arrival, Place, Zone, Zones


class Responder:
    """Decides for all networks. Raises nothing for whatever packet; what Hosts and Boots raise goes
    through."""

    def __init__(
        self, subnets: Iterable[Subnet], domain: str, hosts: Hosts, boots: Boots, leases: Iterable[Lease] = ()
    ) -> None:
        self.zones = Zones(subnets, domain)
        self.table = LeaseTable((pool for zone in self.zones.all for pool in zone.pools), hosts.reserved)
        known = list(leases)
        self.table.load(known)
        self.table.never.update(int(router) for zone in self.zones.all for router in zone.subnet.routers)
        self._naming, self._domain = Naming(self.table, hosts), domain
        for lease in known:
            self._naming.load(lease)
        self._addresses = Addresses(self.table, hosts)
        self._hosts = hosts
        self._boots = boots
        self._chain = Chain()

    def handle(self, packet: Packet, arrival: Arrival, now: float) -> Outcome:
        """Answer one request. An empty Outcome means silence."""
        out = Outcome()
        asked = self._understand(packet, arrival, out, now)
        if asked is None:
            return out
        if asked.arrival.port != replies.SERVER_PORT:
            self._boot_server(asked, out)
        elif asked.place.home.subnet.mode is Mode.PROXY:
            self._proxy(asked, out, now)
        else:
            self._authority(asked, out, now)
        for reply in out.replies:
            if reply.packet.file or codes.BOOT_FILE in reply.packet.options:
                self._chain.sent(asked.client, asked.kind, now)
        return out

    def _understand(self, packet: Packet, arrival: Arrival, out: Outcome, now: float) -> Asked | None:
        """The facts of a request, or None when it is none or not for us."""
        if packet.op != REQUEST:
            return None
        kind: Kind | None = None
        message_type = packet.options.get(codes.MESSAGE_TYPE)
        if message_type is not None:
            if len(message_type) != 1 or not 1 <= message_type[0] <= 8:
                return None
            kind = codes.KINDS[message_type[0]]
        relay = packet.options.get(codes.RELAY_INFO)
        inside = dict(sub_options(relay)) if relay else {}
        place = self.zones.place(packet, arrival, inside.get(codes.LINK_SELECTION))
        client = self._chain.look(describe(packet), kind, now)
        if place is None and packet.giaddr != NO_ADDRESS and arrival.addresses:
            out.trouble = (
                "dhcp.relay",
                f"the relay at {packet.giaddr} asks for a network that is in no subnet here: its machines "
                "are not answered until there is a [[subnets]] table for it",
            )
        if place is None or not client.mac:
            return None
        return Asked(packet, client, arrival, place, kind, inside)

    # ---- where another server gives the addresses ----

    def _proxy(self, asked: Asked, out: Outcome, now: float) -> None:
        """RFC-wise no DHCP server at all: only boot data, only for boot programs, never an address."""
        if not is_pxe(asked.client):
            return
        if asked.kind is Kind.DISCOVER:
            self._boot_answer(asked, Kind.OFFER, out)
        elif asked.kind is Kind.INFORM:
            self._boot_answer(asked, Kind.ACK, out)
        elif asked.kind is Kind.REQUEST:
            # To the other server, heard because it is broadcast: the exchange is over, the file comes next.
            address = options.address_of(asked.packet.options.get(codes.REQUESTED_ADDRESS))
            if address is not None:
                out.tell(asked, Kind.REQUEST, f"takes {address} from another server", address, None)
            self._chain.sent(asked.client, asked.kind, now)

    def _boot_server(self, asked: Asked, out: Outcome) -> None:
        """Port 4011: a machine that has its address asks a boot server directly (PXE 2.1 section 2.2.5)."""
        if not is_pxe(asked.client) or asked.arrival.source == NO_ADDRESS:
            return
        if asked.kind in (Kind.REQUEST, Kind.INFORM):
            self._boot_answer(asked, Kind.ACK, out)
        elif asked.kind is Kind.DISCOVER:
            self._boot_answer(asked, Kind.OFFER, out)

    def _boot_answer(self, asked: Asked, kind: Kind, out: Outcome) -> None:
        boot = self._boots.decide(asked.client, asked.place.server)
        # At the boot server's port it has its address already, and asks from there.
        source = asked.arrival.source if asked.arrival.port != replies.SERVER_PORT else None
        out.tell(asked, asked.kind, "asks what to boot", source, None)
        if boot is None:
            return
        settings = {
            code: value
            for code, value in self._settings(asked, asked.place.home, None, out).items()
            if code not in (codes.SUBNET_MASK, codes.ROUTERS, codes.BROADCAST_ADDRESS)
        }
        out.replies.append(replies.make(asked, kind, NO_ADDRESS, settings, boot, {}, proxy=True))
        out.tell(asked, kind, f"told to load {boot.filename}", None, boot)

    # ---- where we are the authority ----

    def _authority(self, asked: Asked, out: Outcome, now: float) -> None:
        host = self._hosts.find(asked.client)
        out.routine = host is None and not is_pxe(asked.client)
        match asked.kind:
            case None:
                self._bootp(asked, host, out, now)
            case Kind.DISCOVER:
                self._discover(asked, host, out, now)
            case Kind.REQUEST:
                self._request(asked, host, out, now)
            case Kind.INFORM:
                self._inform(asked, host, out)
            case Kind.RELEASE:
                self._release(asked, out, now)
            case Kind.DECLINE:
                self._decline(asked, out, now)

    def _discover(self, asked: Asked, host: Host | None, out: Outcome, now: float) -> None:
        out.tell(asked, Kind.DISCOVER, "looks for a server", None, None)
        wanted = options.address_of(asked.packet.options.get(codes.REQUESTED_ADDRESS))
        choice = self._addresses.choose(asked.client, host, asked.place, wanted, now)
        if choice.address is None:
            out.notes.append(Note(asked.client.mac, "dhcp.none", choice.why))
            if choice.full is not None:
                out.trouble = (
                    "alarm.pools",
                    f"the pools of {choice.full.subnet.cidr} are used up: {asked.client.mac} gets no "
                    "address; make them larger, or end leases (`bootsrv lease list`)",
                )
            return
        assert choice.zone is not None
        if not choice.reserved:
            if self.table.doubtful(choice.address, now):
                out.check = choice.address
            self.table.offer(choice.address, asked.client, now)
        name = self._naming.name(asked.client, host, choice.address, choice.zone.subnet, now)
        self._give(asked, host, choice, Kind.OFFER, None, out, name)

    def _request(self, asked: Asked, host: Host | None, out: Outcome, now: float) -> None:
        """RFC 2131 section 4.3.2: the four states of a client, told apart by what it fills in."""
        server = asked.packet.options.get(codes.SERVER_ID)
        if server is not None and not self._is_us(server, asked):
            self.table.withdraw(asked.client)
            out.rival = options.address_of(server)
            return
        address = options.address_of(asked.packet.options.get(codes.REQUESTED_ADDRESS))
        if asked.packet.ciaddr != NO_ADDRESS:
            address = asked.packet.ciaddr
        if address is None:
            return
        choice = self._addresses.confirm(asked.client, host, asked.place, address, now)
        if choice.address is None:
            out.replies.append(replies.refuse(asked, choice.why))
            out.tell(asked, Kind.NAK, f"refused {address}: {choice.why}", address, None)
            return
        change = self._bind(asked, host, choice, out, now)
        self._give(asked, host, choice, Kind.ACK, change, out, change.lease.hostname)

    def _is_us(self, server: bytes, asked: Asked) -> bool:
        return server == asked.server_id or any(server == own.ip.packed for own in asked.arrival.addresses)

    def _bind(self, asked: Asked, host: Host | None, choice: Choice, out: Outcome, now: float) -> Change:
        assert choice.address is not None and choice.zone is not None
        seconds = self._lease_seconds(asked, host, choice.zone)
        expires = NEVER if seconds == FOR_EVER else now + seconds
        name = self._naming.name(asked.client, host, choice.address, choice.zone.subnet, now)
        self._naming.keep(name, choice.address)
        change = self.table.bind(choice.address, asked.client, expires, name)
        out.changes.append(change)
        return change

    def _give(
        self,
        asked: Asked,
        host: Host | None,
        choice: Choice,
        kind: Kind,
        change: Change | None,
        out: Outcome,
        name: str,
    ) -> None:
        """OFFER or ACK of an address, to a client of this name."""
        assert choice.address is not None and choice.zone is not None
        asked = self._towards(asked, choice.zone)
        boot = self._boots.decide(asked.client, asked.place.server) if is_pxe(asked.client) else None
        settings = self._settings(asked, choice.zone, host, out, name)
        seconds = self._lease_seconds(asked, host, choice.zone)
        times = {codes.LEASE_TIME: struct.pack("!I", seconds)}
        asked_for = asked.packet.options.get(codes.PARAMETER_LIST, b"")
        for code, share in ((codes.RENEWAL_TIME, 0.5), (codes.REBINDING_TIME, 0.875)):
            if code in asked_for or code in settings:
                ready = struct.pack("!I", FOR_EVER if seconds == FOR_EVER else int(seconds * share))
                times[code] = settings.get(code, ready)
        if codes.CLIENT_FQDN in asked.packet.options:
            times[codes.CLIENT_FQDN] = answer_fqdn(asked.client.fqdn, name, self._domain)
        out.replies.append(
            replies.make(
                asked, kind, choice.address, settings, boot, times, change=change, safe=choice.reserved
            )
        )
        loads = f", load {boot.filename}" if boot is not None else ""
        why = f" ({choice.why})" if choice.why else ""
        out.tell(asked, kind, (choice.address, loads, why), choice.address, boot)

    @staticmethod
    def _towards(asked: Asked, zone: Zone) -> Asked:
        """On a shared network we are known by our address in the client's own subnet, where we have one:
        without a router it reaches no other."""
        if zone is asked.place.home:
            return asked
        server = next((own.ip for own in asked.arrival.addresses if own.ip in zone), None)
        return asked if server is None else replace(asked, place=Place(asked.place.zones, server))

    def _lease_seconds(self, asked: Asked, host: Host | None, zone: Zone) -> int:
        """What the client asks for, up to what the host or the subnet allows."""
        allowed = zone.subnet.lease_seconds
        own = {**zone.subnet.options, **(host.options if host else {})}.get("dhcp-lease-time")
        if own is not None:
            allowed = int(own)
        wanted = asked.packet.options.get(codes.LEASE_TIME, b"")
        if len(wanted) != 4:
            return allowed
        return min(max(int.from_bytes(wanted, "big"), MIN_LEASE_SECONDS), allowed)

    def _settings(
        self, asked: Asked, zone: Zone, host: Host | None, out: Outcome, name: str = ""
    ) -> dict[int, bytes]:
        """All options for this client: the subnet's, the host's over them, and its name."""
        ready = dict(zone.options)
        name = name or (host.name if host is not None and host.name else "")
        if name:
            ready[codes.HOST_NAME] = name.encode()
        if host is None:
            return ready
        for name, value in host.options.items():
            try:
                code, data = options.encode(name, value)
            except options.OptionError as error:
                out.notes.append(Note(asked.client.mac, "dhcp.option", f"left out: {error}"))
                continue
            ready[code] = data
        return ready

    def _bootp(self, asked: Asked, host: Host | None, out: Outcome, now: float) -> None:
        """RFC 1534: a reservation, or an address for ever where the subnet says so."""
        choice = self._addresses.choose(asked.client, host, asked.place, None, now, bootp=True)
        if choice.address is None or choice.zone is None:
            return
        asked = self._towards(asked, choice.zone)
        change = None
        if not choice.reserved:
            if self.table.doubtful(choice.address, now):
                out.check = choice.address
            name = self._naming.name(asked.client, host, choice.address, choice.zone.subnet, now)
            self._naming.keep(name, choice.address)
            change = self.table.bind(choice.address, asked.client, NEVER, name)
            out.changes.append(change)
        boot = self._boots.decide(asked.client, asked.place.server)
        settings = self._settings(asked, choice.zone, host, out)
        out.replies.append(
            replies.make(asked, None, choice.address, settings, boot, {}, False, change, choice.reserved)
        )
        out.tell(asked, None, f"{choice.address}", choice.address, boot)

    def _inform(self, asked: Asked, host: Host | None, out: Outcome) -> None:
        """RFC 2131 section 4.3.5: settings for one who has an address; no lease, no times."""
        if asked.packet.ciaddr == NO_ADDRESS:
            return
        zone = asked.place.zone_of(asked.packet.ciaddr) or asked.place.home
        asked = self._towards(asked, zone)
        boot = self._boots.decide(asked.client, asked.place.server) if is_pxe(asked.client) else None
        settings = self._settings(asked, zone, host, out)
        out.replies.append(replies.make(asked, Kind.ACK, NO_ADDRESS, settings, boot, {}))
        out.tell(asked, Kind.INFORM, "asks for settings", asked.packet.ciaddr, boot)

    def _release(self, asked: Asked, out: Outcome, now: float) -> None:
        change = self.table.release(asked.packet.ciaddr, asked.client, now)
        if change is not None:
            out.changes.append(change)
            out.tell(asked, Kind.RELEASE, f"gave {asked.packet.ciaddr} back", asked.packet.ciaddr, None)

    def _decline(self, asked: Asked, out: Outcome, now: float) -> None:
        address = options.address_of(asked.packet.options.get(codes.REQUESTED_ADDRESS))
        server = asked.packet.options.get(codes.SERVER_ID)
        if address is None or (server is not None and not self._is_us(server, asked)):
            return
        change = self.table.decline(address, asked.client, now)
        if change is not None:
            out.changes.append(change)
            text = f"found {address} in use by another machine; it is not given out for an hour"
            out.tell(asked, Kind.DECLINE, text, address, None)
