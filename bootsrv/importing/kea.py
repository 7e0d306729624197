"""Kea's kea-dhcp4.conf -> Imported. Kea administrator reference manual, "The DHCPv4 server".

Settings of a shared network hold for its subnets unless they say otherwise, as in Kea. The law: every
member of every object is taken over or noted with its line. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from bootsrv.importing import kea_options, values
from bootsrv.importing.draft import Draft, SubnetDraft
from bootsrv.importing.imported import Imported, ImportedNode, ImportFailed
from bootsrv.importing.isc_options import Defined
from bootsrv.importing.jsonc import Include, Value, integer_of, list_of, need, object_of, parse, text_of
from bootsrv.importing.kea_known import HARMLESS, REFUSED
from bootsrv.importing.values import BadWord

DEFAULT_LEASE = 7200  # seconds; Kea's valid-lifetime when a file says nothing
_IDENTITIES = ("client-id", "circuit-id", "remote-id")
_BOOT = {
    "next-server": "tftp-server-address",
    "server-hostname": "tftp-server-name",
    "boot-file-name": "bootfile-name",
}


@dataclass(slots=True)
class Level:
    """What holds in one object: where its options go, the lease time, and the subnet it is in."""

    options: dict[str, Any]
    lease: int = DEFAULT_LEASE
    shared: str = ""
    subnet: SubnetDraft | None = None


Handler = Callable[[Level, Value], None]


def _read_before(level: Level, value: Value) -> None:
    """For members that the object's own reader has taken already, or that mean nothing here."""


def read(text: str, source: str) -> Imported:
    """Read a Kea configuration. Raises ImportFailed with the line where it is none."""
    draft = Draft(source, "kea")
    draft.check_size(text)
    root = parse(text, source)
    if not isinstance(root.it, dict) or "Dhcp4" not in root.it:
        raise ImportFailed(source, root.line, 'no "Dhcp4" in this file')
    reader = _Reader(draft)
    reader.members(root, Level(draft.options), {"Dhcp4": reader.server})
    return draft.finish()


class _Reader:
    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._defined: dict[str, Defined] = {}
        self._common: dict[str, Handler] = {
            "option-data": self._options,
            "valid-lifetime": self._lease,
            "reservations": self._reservations,
            "interface": self._interface,
            **{name: self._boot(option) for name, option in _BOOT.items()},
        }

    def members(self, value: Value, level: Level, handlers: dict[str, Handler]) -> None:
        """Every member of an object, in the order of `handlers`: lease times come before subnets."""
        found = object_of(value)
        for name in value.repeated:
            self._draft.lost(value.line, f"{name} is said twice in this object; the last one counts")
        for name in sorted(found, key=lambda name: list(handlers).index(name) if name in handlers else -1):
            member = found[name]
            try:
                if name in handlers:
                    handlers[name](level, member)
                else:
                    self._other(name, member)
            except BadWord as error:
                self._draft.lost(member.line, f"{name}: {error}")

    def _other(self, name: str, member: Value) -> None:
        if isinstance(member.it, Include):
            self._draft.lost(member.line, f'include "{member.it.path}": other files are not read')
        elif name in HARMLESS:
            self._draft.info(member.line, f"{name}: {HARMLESS[name]}")
        else:
            self._draft.lost(member.line, f"{name[:60]}: {REFUSED.get(name, 'not understood')}")

    def server(self, level: Level, value: Value) -> None:
        """The `Dhcp4` object."""
        handlers: dict[str, Handler] = {
            "option-def": self._definitions,
            **self._common,
            "interfaces-config": self._interfaces,
            "subnet4": self._subnets,
            "shared-networks": self._shared,
        }
        del handlers["interface"]
        self.members(value, level, handlers)

    def _each(self, value: Value, one: Callable[[Value], None]) -> None:
        """Every item of a list; one bad item spoils no other."""
        for item in list_of(value):
            try:
                if isinstance(item.it, Include):
                    self._other("", item)
                else:
                    one(item)
            except BadWord as error:
                self._draft.lost(item.line, str(error))

    # --- what a level says ---

    def _lease(self, level: Level, value: Value) -> None:
        level.lease = integer_of(value)
        if level.subnet is not None:
            level.subnet.lease_seconds = level.lease

    def _interface(self, level: Level, value: Value) -> None:
        name = text_of(value)
        if name and level.subnet is not None:
            level.subnet.interface = name
            self._draft.interfaces.append(name)

    def _interfaces(self, level: Level, value: Value) -> None:
        def names(level: Level, value: Value) -> None:
            for item in list_of(value):
                name = text_of(item).partition("/")[0]
                if name == "*":
                    self._draft.lost(item.line, '"*": bootsrv answers only on interfaces that are named')
                else:
                    self._draft.interfaces.append(name)

        handlers: dict[str, Handler] = {"interfaces": names}
        for name in ("dhcp-socket-type", "outbound-interface", "service-sockets-max-retries", "re-detect"):
            handlers[name] = _read_before
        self.members(value, level, handlers)

    def _boot(self, option: str) -> Handler:
        def take(level: Level, value: Value) -> None:
            text = text_of(value)
            if text and text != "0.0.0.0":  # both mean "none"
                name, typed = values.option(option, text)
                level.options[name] = typed

        return take

    def _definitions(self, level: Level, value: Value) -> None:
        def one(item: Value) -> None:
            found = object_of(item)
            for name in ("record-types", "encapsulate"):
                if name in found and found[name].it:
                    raise BadWord("option-def: records and option spaces are not taken over")
            array = bool(found["array"].it) if "array" in found else False
            defined = kea_options.define(integer_of(need(item, "code")), text_of(need(item, "type")), array)
            if "space" in found and text_of(found["space"]) != "dhcp4":
                raise BadWord("option-def: option spaces are not taken over")
            self._defined[text_of(need(item, "name"))] = defined
            self._defined[str(defined.code)] = defined

        self._each(value, one)

    def _options(self, level: Level, value: Value) -> None:
        def one(item: Value) -> None:
            name, typed = self._option(item)
            level.options[name] = typed

        self._each(value, one)

    def _option(self, item: Value) -> tuple[str, Any]:
        found = object_of(item)
        for name in sorted(set(found) - {"name", "code", "space", "csv-format", "data"}):
            if found[name].it not in (False, None, [], ""):
                self._other(name, found[name])
        label = text_of(found["name"]) if "name" in found else str(integer_of(need(item, "code")))
        if "space" in found and text_of(found["space"]) not in ("dhcp4", ""):
            raise BadWord(f"option {label[:40]}: option spaces are not taken over")
        try:
            defined = self._defined.get(label)
            if defined is not None:
                code = defined.code
            elif "code" in found:
                code = integer_of(found["code"])
            else:
                code = kea_options.code_of(label)
            csv = found["csv-format"].it is not False if "csv-format" in found else True
            return kea_options.value(code, text_of(need(item, "data")), csv, defined)
        except BadWord as error:
            raise BadWord(f"option {label[:40]}: {error}") from error

    # --- networks ---

    def _shared(self, level: Level, value: Value) -> None:
        def one(item: Value) -> None:
            name = text_of(need(item, "name"))
            inner = Level({}, level.lease, shared=name)
            handlers: dict[str, Handler] = {
                "name": _read_before,
                **self._common,
                "subnet4": self._subnets,
            }
            self.members(item, inner, handlers)

        self._each(value, one)

    def _subnets(self, level: Level, value: Value) -> None:
        def one(item: Value) -> None:
            try:
                cidr = IPv4Network(text_of(need(item, "subnet")), strict=False)
            except ValueError as error:
                raise BadWord(f"subnet: {error}") from error
            subnet = SubnetDraft(cidr, item.line, level.lease, shared=level.shared)
            subnet.options.update(level.options if level.shared else {})
            self._draft.subnets.append(subnet)
            inner = Level(subnet.options, level.lease, level.shared, subnet)
            handlers: dict[str, Handler] = {
                "subnet": _read_before,
                **self._common,
                "pools": self._pools,
            }
            self.members(item, inner, handlers)

        self._each(value, one)

    def _pools(self, level: Level, value: Value) -> None:
        def one(item: Value) -> None:
            first, last = _range(text_of(need(item, "pool")))
            self._draft.add_range(first, last, item.line)
            ignored: dict[str, Handler] = {
                "pool": _read_before,
                "option-data": self._pool_options,
            }
            self.members(item, level, ignored)

        self._each(value, one)

    def _pool_options(self, level: Level, value: Value) -> None:
        if value.it:
            raise BadWord("options of a pool: set them on the subnet")

    # --- machines ---

    def _reservations(self, level: Level, value: Value) -> None:
        self._each(value, lambda item: self._reservation(level, item))

    def _reservation(self, level: Level, item: Value) -> None:
        found = object_of(item)
        own = Level({})
        read = ("hw-address", "ip-address", "hostname", *_IDENTITIES)
        handlers: dict[str, Handler] = dict.fromkeys(read, _read_before)
        handlers["option-data"] = self._options
        handlers.update({name: self._boot(option) for name, option in _BOOT.items()})
        self.members(item, own, handlers)
        macs = (values.mac(text_of(found["hw-address"])),) if "hw-address" in found else ()
        known = tuple((kind, _identity(text_of(found[kind]))) for kind in _IDENTITIES if kind in found)
        if not macs and not known:
            raise BadWord(
                "neither hw-address nor client-id or circuit-id: register it by hand (`bootsrv node add`)"
            )
        first = macs[0] if macs else known[0][1][2:42]
        address = values.address(text_of(found["ip-address"])) if "ip-address" in found else None
        label = text_of(found["hostname"]) if "hostname" in found else ""
        name = values.node_name(label or f"node-{first.replace(':', '')}")
        if label.lower() != name:
            self._draft.changed(item.line, f"the machine {label or first} is called {name}")
        if level.subnet is not None and address is not None and address not in level.subnet.cidr:
            self._draft.changed(
                item.line, f"{name} gets options by its own address, not {level.subnet.cidr}'s"
            )
        self._draft.nodes.append(ImportedNode(name, macs, address, (), own.options, item.line, known))


def _identity(text: str) -> str:
    """Hexadecimal with or without colons, or 'text' in quotes of its own."""
    if len(text) > 2 and text[0] == text[-1] == "'":
        return values.identity(text[1:-1], quoted=True)
    digits = text.replace(":", "").removeprefix("0x")
    try:
        return f"0x{bytes.fromhex(digits).hex()}"
    except ValueError:
        raise BadWord(f"{text[:40]!r} is not hexadecimal") from None


def _range(text: str) -> tuple[IPv4Address, IPv4Address]:
    """`A - B` or `NET/BITS`."""
    if "/" in text:
        try:
            network = IPv4Network(text.replace(" ", ""), strict=False)
        except ValueError as error:
            raise BadWord(f"pool: {error}") from error
        return network.network_address, network.broadcast_address
    first, _, last = text.partition("-")
    return values.address(first.strip()), values.address((last or first).strip())
