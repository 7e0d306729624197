"""The statements of a dhcpd.conf that have no block: what each does to the scope it stands in.

dhcpd.conf(5), dhcp-options(5). The law: a statement is taken over, or a note says what it was and why not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bootsrv.importing import isc_options, values
from bootsrv.importing.draft import Draft, SubnetDraft
from bootsrv.importing.imported import Resolve
from bootsrv.importing.isc_known import HARMLESS, PERMISSIONS_HARMLESS, REFUSED
from bootsrv.importing.isc_scope import Scope, only_word
from bootsrv.importing.isc_tree import Statement, Token
from bootsrv.importing.values import BadWord

# How dhcpd's own statements for booting are called as options.
IDENTITIES = {
    "dhcp-client-identifier": "client-id", "uid": "client-id",
    "agent.circuit-id": "circuit-id", "agent.remote-id": "remote-id",
}  # fmt: skip
BOOT_STATEMENTS = {
    "filename": "bootfile-name",
    "next-server": "tftp-server-address",
    "server-name": "tftp-server-name",
}


class Statements:
    """One per file: it knows the options that the file defines and the ranges it has."""

    def __init__(self, draft: Draft, resolve: Resolve) -> None:
        self._draft = draft
        self._resolve = resolve
        self._defined: dict[str, isc_options.Defined] = {}
        self._ranges: list[tuple[SubnetDraft, int, bool, bool]] = []  # where, line, for unknown, for BOOTP
        self._handlers: dict[str, Callable[[Scope, Statement], None]] = {
            "option": self._option,
            "range": self._range,
            "default-lease-time": self._lease,
            "max-lease-time": self._longest_lease,
            "hardware": self._hardware,
            "fixed-address": self._fixed_address,
            "allow": self._permission,
            "deny": self._permission,
            "ignore": self._permission,
            "not": self._not_authoritative,
            "interface": self._interface,
            "boot-unknown-clients": self._boot_unknown,
            "host-identifier": self._identity,
            "dhcp-client-identifier": self._identity,
            "uid": self._identity,
            **dict.fromkeys(BOOT_STATEMENTS, self._boot),
        }

    def read(self, scope: Scope, statement: Statement) -> None:
        """One statement."""
        handler = self._handlers.get(statement.keyword)
        try:
            if handler is not None:
                handler(scope, statement)
            elif statement.keyword in HARMLESS:
                self._draft.info(statement.line, f"{statement.text()}: {HARMLESS[statement.keyword]}")
            else:
                self.refuse(statement)
        except BadWord as error:
            self._draft.lost(statement.line, f"{statement.text()}: {error}")

    def refuse(self, statement: Statement) -> None:
        """Note a statement or a block that is not taken over."""
        reason = REFUSED.get(statement.keyword, "not understood")
        inside = "" if statement.block is None else ", with all that is in its braces"
        self._draft.lost(statement.line, f"{statement.text() or 'a block without a name'}: {reason}{inside}")

    def settle_ranges(self) -> None:
        """Who may use a pool is said per subnet here, but per pool there. Once, after the whole file."""
        for subnet in self._draft.subnets:
            mine = [(line, unknown, bootp) for owner, line, unknown, bootp in self._ranges if owner is subnet]
            if not mine:
                continue
            subnet.unknown = any(unknown for _, unknown, _ in mine)
            subnet.bootp = any(bootp for _, _, bootp in mine)
            every = f"clients may use every pool of {subnet.cidr}, this one too"
            for line, unknown, bootp in mine:
                if unknown != subnet.unknown:
                    self._draft.lost(line, f"unknown {every}")
                if bootp != subnet.bootp:
                    self._draft.changed(line, f"BOOTP {every}")

    def _not_authoritative(self, scope: Scope, statement: Statement) -> None:
        text = 'a server that gives addresses is mode = "authoritative" here'
        self._draft.changed(statement.line, f"{statement.text()}: {text}")

    def _option(self, scope: Scope, statement: Statement) -> None:
        words = statement.words[1:]
        if not words:
            raise BadWord("no name")
        name = words[0].text.lower()
        if name in ("space", "definition"):
            raise BadWord("option spaces are not taken over")
        if len(words) > 2 and words[1].text.lower() == "code":
            name, defined = isc_options.define(statement.words)
            self._defined[name] = defined
        elif name == "dhcp-client-identifier" and scope.host is not None:
            self._identity(scope, statement)
        else:
            self._set(scope, statement, name, words[1:])

    def _set(self, scope: Scope, statement: Statement, name: str, words: Sequence[Token]) -> None:
        looked_up: list[str] = []
        key, value = isc_options.value(name, words, self._defined.get(name), self._resolve, looked_up)
        for remark in looked_up:
            self._draft.changed(statement.line, f"{statement.text()}: {remark}")
        before = scope.options.get(key, value)
        if before != value and key not in scope.around:
            self._draft.changed(
                statement.line, f"{statement.text()}: set before in this block; this one counts"
            )
        scope.options[key] = value

    def _boot(self, scope: Scope, statement: Statement) -> None:
        self._set(scope, statement, BOOT_STATEMENTS[statement.keyword], statement.words[1:])

    def _lease(self, scope: Scope, statement: Statement) -> None:
        seconds = values.number(only_word(statement))
        if scope.kind in ("group", "host"):
            key, value = values.option("dhcp-lease-time", seconds)
            scope.options[key] = value
        scope.lease = seconds

    def _longest_lease(self, scope: Scope, statement: Statement) -> None:
        values.number(only_word(statement))
        self._draft.info(statement.line, f"{statement.text()}: every lease has the default length here")

    def _range(self, scope: Scope, statement: Statement) -> None:
        words = [word.text for word in statement.words[1:] if not word.is_mark(",")]
        bootp = bool(words) and words[0].lower() == "dynamic-bootp"
        ends = [values.address(word) for word in words[1 if bootp else 0 :]]
        if len(ends) not in (1, 2):
            raise BadWord("not one or two addresses")
        subnet = self._draft.add_range(ends[0], ends[-1], statement.line)
        if subnet is not None:
            self._ranges.append((subnet, statement.line, scope.unknown, bootp))

    def _hardware(self, scope: Scope, statement: Statement) -> None:
        words = statement.words
        if scope.host is None:
            raise BadWord("only a host has hardware")
        if len(words) != 3 or words[1].text.lower() != "ethernet":
            raise BadWord("only Ethernet addresses are taken over")
        scope.host.macs.append(values.mac(words[2].text))

    def _fixed_address(self, scope: Scope, statement: Statement) -> None:
        if scope.host is None:
            raise BadWord("only a host has an address")
        for word in statement.words[1:]:
            if word.is_mark(","):
                continue
            if not values.is_host_name(word.text):
                scope.host.addresses.append(values.address(word.text))
                continue
            found = self._resolve(word.text)
            if found is None:
                text = "cannot be looked up; set the node's address by hand"
                self._draft.lost(statement.line, f"fixed-address {word.text}: {text}")
            else:
                self._draft.changed(statement.line, f"fixed-address {word.text} was looked up: {found}")
                scope.host.addresses.append(found)

    def _identity(self, scope: Scope, statement: Statement) -> None:
        """`uid X`, `option dhcp-client-identifier X`, `host-identifier option agent.circuit-id X`."""
        if scope.host is None:
            raise BadWord("only a host has an identity")
        *names, value = statement.words
        kind = IDENTITIES.get(names[-1].text.lower() if names else "")
        if kind is None:
            self._draft.lost(
                statement.line,
                f"{statement.text()}: not taken over; what there is says `bootsrv node set --identity`",
            )
            return
        scope.host.identities.append((kind, values.identity(value.text, value.quoted)))

    def _interface(self, scope: Scope, statement: Statement) -> None:
        name = only_word(statement)
        if scope.subnet is not None:
            scope.subnet.interface = name
        self._draft.interfaces.append(name)

    def _boot_unknown(self, scope: Scope, statement: Statement) -> None:
        scope.unknown = only_word(statement).lower() in ("true", "on")

    def _permission(self, scope: Scope, statement: Statement) -> None:
        allow = statement.keyword == "allow"
        subject = statement.words[1].text.lower() if len(statement.words) > 1 else ""
        subject = {"unknown": "unknown-clients", "known": "known-clients"}.get(subject, subject)
        if scope.host is None and subject == "unknown-clients":
            scope.unknown = allow
            scope.allowed.update({subject} if allow else ())
        elif scope.kind == "pool" and allow and subject in ("known-clients", "all"):
            scope.allowed.add(subject)
        elif subject in PERMISSIONS_HARMLESS or (allow and subject in ("booting", "bootp", "known-clients")):
            self._draft.info(statement.line, f"{statement.text()}: bootsrv has no such switch")
        else:
            raise BadWord("only permissions for unknown clients are taken over")
