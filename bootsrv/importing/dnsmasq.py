"""dnsmasq.conf -> Imported. dnsmasq(8): one setting per line, `#` begins a comment, no nesting.

Tags become what they stand for where that is plain: a tag that a range sets is its subnet, one that a host
sets is a group. Options for any other tag are noted. The law: every line is taken over or noted; a bad line
is noted and the rest is read, as a person who repairs one line would have it. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from bootsrv.importing import dnsmasq_options, values
from bootsrv.importing.dnsmasq_hosts import read_host
from bootsrv.importing.dnsmasq_known import HARMLESS, REFUSED
from bootsrv.importing.dnsmasq_ranges import read_range
from bootsrv.importing.draft import Draft, SubnetDraft
from bootsrv.importing.imported import Imported
from bootsrv.importing.values import BadWord
from pxe.dhcp.subnet import Mode


def read(text: str, source: str) -> Imported:
    """Read a dnsmasq.conf. Never raises ImportFailed but for a text of absurd length."""
    draft = Draft(source, "dnsmasq")
    draft.check_size(text)
    reader = _Reader(draft)
    lines = [(line, _strip(raw)) for line, raw in enumerate(text.split("\n"), 1)]
    for wanted in (reader.first, reader.second):
        for line, setting in lines:
            if setting:
                wanted(line, setting)
    reader.say_defaults()
    return draft.finish()


def _strip(raw: str) -> str:
    """A line without its comment: a `#` counts at the beginning or after a blank, and not inside quotes."""
    quoted, before = False, " "
    for at, letter in enumerate(raw):
        if letter == '"':
            quoted = not quoted
        elif letter == "#" and not quoted and before.isspace():
            return raw[:at].strip()
        before = letter
    return raw.strip()


class _Reader:
    """Two passes: ranges and hosts say what their tags stand for, then options are given to those."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._subnets_of: dict[str, list[SubnetDraft]] = {}  # by the tag that their range sets
        self._group_of: dict[str, str] = {}  # by the tag that its hosts set
        self._first: dict[str, Callable[[int, list[str]], None]] = {
            "dhcp-range": self._range,
            "dhcp-host": self._host,
            "interface": self._interface,
            "domain": self._domain,
        }
        self._second: dict[str, Callable[[int, list[str]], None]] = {
            "dhcp-option": self._option,
            "dhcp-option-force": self._option,
            "dhcp-boot": self._boot,
            "dhcp-ignore": self._ignore,
        }

    def first(self, line: int, setting: str) -> None:
        """Everything but what hangs on tags."""
        key, words = _split(setting)
        handler = self._first.get(key)
        if handler is not None:
            self._try(handler, line, setting, words)
        elif key in HARMLESS:
            self._draft.info(line, f"{_short(setting)}: {HARMLESS[key]}")
        elif key not in self._second:
            self._draft.lost(line, f"{_short(setting)}: {REFUSED.get(key, 'not understood')}")

    def second(self, line: int, setting: str) -> None:
        """What hangs on tags."""
        key, words = _split(setting)
        handler = self._second.get(key)
        if handler is not None:
            self._try(handler, line, setting, words)

    def say_defaults(self) -> None:
        """dnsmasq sends its own address as router and name server when the file does not say another."""
        for name, what in (("routers", "router"), ("domain-name-servers", "name server")):
            for subnet in self._draft.subnets:
                told = name in subnet.options or name in self._draft.options
                if not told and subnet.mode is not Mode.PROXY:
                    text = f"{subnet.cidr}: dnsmasq names itself as {what} here; set {name}"
                    self._draft.lost(subnet.line, text)

    def _try(
        self, handler: Callable[[int, list[str]], None], line: int, setting: str, words: list[str]
    ) -> None:
        try:
            handler(line, words)
        except BadWord as error:
            self._draft.lost(line, f"{_short(setting)}: {error}")

    def _range(self, line: int, words: list[str]) -> None:
        found = read_range(words)
        subnet = next((item for item in self._draft.subnets if item.cidr == found.cidr), None)
        if subnet is None:
            subnet = SubnetDraft(found.cidr, line, found.lease_seconds, unknown=not found.static)
            subnet.mode, subnet.interface = found.mode, found.interface
            self._draft.subnets.append(subnet)
            if found.guessed:
                self._draft.changed(line, f"no netmask: {found.cidr} is a guess, correct it if it is wrong")
        elif subnet.lease_seconds != found.lease_seconds:
            self._draft.changed(line, f"{found.cidr} has one lease time, that of line {subnet.line}")
        if found.last is not None:
            self._draft.add_range(found.first, found.last, line)
            subnet.unknown = True
        for tag in found.sets:
            self._subnets_of.setdefault(tag, []).append(subnet)
        if found.tags:
            self._draft.lost(line, f"this range is for clients with the tag {', '.join(found.tags)} only")
        if found.mode is Mode.PROXY:
            self._draft.info(line, "a proxy: another server gives the addresses")

    def _host(self, line: int, words: list[str]) -> None:
        host = read_host(words, line)
        for text in host.lost:
            self._draft.lost(line, text)
        if host.node is not None:
            for tag in host.sets:
                self._group_of.setdefault(tag, self._draft.group(tag, line))
            groups = tuple(self._group_of[tag] for tag in host.sets)
            self._draft.nodes.append(host.build(groups))

    def _interface(self, line: int, words: list[str]) -> None:
        self._draft.interfaces += [word for word in words if word]

    def _domain(self, line: int, words: list[str]) -> None:
        if len(words) != 1:
            raise BadWord("a domain for some addresses only")
        name, value = values.option("domain-name", words[0])
        self._draft.options.setdefault(name, value)

    def _ignore(self, line: int, words: list[str]) -> None:
        if words not in (["tag:!known"], ["#known"], ["!known"], ["net:!known"]):
            raise BadWord("tags are not taken over")
        for subnet in self._draft.subnets:
            subnet.unknown = False

    def _option(self, line: int, words: list[str]) -> None:
        tags, rest = _tags(words)
        prefixes = ("vendor:", "encap:", "vi-encap:", "cpewan-id:")
        if not rest or rest[0].startswith(prefixes):
            raise BadWord("options inside vendor options are not taken over" if rest else "no option")
        code = dnsmasq_options.code_of(rest[0])
        self._give(line, tags, *dnsmasq_options.value(code, rest[1:]))

    def _boot(self, line: int, words: list[str]) -> None:
        tags, rest = _tags(words)
        names = ("bootfile-name", "tftp-server-name", "tftp-server-address")
        for name, word in zip(names, rest, strict=False):
            if word:
                self._give(line, tags, *values.option(name, word))
        if len(rest) > len(names) or not any(rest):
            raise BadWord("not as in: dhcp-boot=FILE,SERVER,ADDRESS")

    def _give(self, line: int, tags: Sequence[str], name: str, value: Any) -> None:
        """Set an option where its tag says: on everything, on subnets, on a group."""
        if not tags:
            self._draft.options[name] = value
            return
        if len(tags) > 1 or tags[0].startswith("!"):
            raise BadWord(f"the tags {' and '.join(tags)} together are not taken over")
        subnets = self._subnets_of.get(tags[0], [])
        for subnet in subnets:
            subnet.options[name] = value
        group = self._group_of.get(tags[0])
        if group is not None:
            self._draft.group_options(group, {name: value})
        elif not subnets:
            raise BadWord(f"no range and no host here sets the tag {tags[0]}")


def _split(setting: str) -> tuple[str, list[str]]:
    """Key (`--` in front forgiven) and the words between the commas; quotes keep commas in and then go."""
    key, _, rest = setting.removeprefix("--").partition("=")
    words, word, quoted = [], "", False
    for letter in rest.strip():
        if letter == '"':
            quoted = not quoted
        elif letter == "," and not quoted:
            words.append(word.strip())
            word = ""
        else:
            word += letter
    return key.strip().lower(), [*words, word.strip()]


def _tags(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Tags in front (`tag:x`, the old `net:x`) and what follows them."""
    tags: list[str] = []
    for place, word in enumerate(words):
        prefix, colon, tag = word.partition(":")
        if not colon or prefix not in ("tag", "net"):
            return tags, list(words[place:])
        tags.append(tag)
    return tags, []


def _short(setting: str) -> str:
    return setting if len(setting) <= 70 else setting[:67] + "..."
