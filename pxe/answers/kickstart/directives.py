"""From a profile to the directives of a kickstart file, each with its name; what does not fit is said."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator

import msgspec

from pxe.answers.errors import Finding
from pxe.answers.kickstart import forms_disk, forms_legacy, forms_system, simple
from pxe.answers.kickstart.age import Age
from pxe.answers.kickstart.form import Form, quote
from pxe.answers.network import Interface, Method
from pxe.answers.profile import Profile, Source, User
from pxe.answers.targets import OLDEST, Target
from pxe.answers.text import Section

_PLACE = re.compile(r"/|(swap|biosboot|prepboot|appleboot|none|None)\Z|(raid|pv|btrfs)\.")
Line = tuple[str, str]  # directive's name, whole line


class Directives:
    """All directives of one profile for one target; findings go to `say`."""

    def __init__(self, profile: Profile, target: Target, say: Callable[[Finding], None]) -> None:
        self._profile = profile
        self._target = target
        self._say = say

    def lines(self) -> Iterator[Line]:
        """The directives in the order of our own files."""
        yield from self._source()
        yield from self._place_and_time()
        yield from self._accounts()
        yield from self._network()
        yield from self._system()
        yield from self._disks()
        yield from self._legacy()
        yield from self._display_and_end()

    def _form(self, form: Form, record: Section, where: str) -> Line:
        return form.command, form.line(record, self._target, where, self._say)

    def _word(self, age: Age, where: str, *words: str) -> Line:
        refusal = age.refusal(words[0] if len(words) == 1 else " ".join(words[:2]), self._target)
        if refusal:
            self._say(Finding(refusal, where))
        return words[0], " ".join(map(quote, words))

    def _has(self, age: Age) -> bool:
        return age.refusal("", self._target) is None

    def _source(self) -> Iterator[Line]:
        profile, source = self._profile, self._profile.source
        old = self._has(simple.INSTALL_WORD)
        if profile.legacy.install or (old and not profile.legacy.upgrade and not profile.order):
            yield self._word(simple.LEGACY_FLAGS["install"][1], "legacy.install", "install")
        if source is not None:
            yield self._form(source_form(source), _proxied(source, profile.proxy), "source")
        if profile.proxy and (source is None or source_form(source) is not forms_system.URL):
            self._say(Finding("a proxy needs a source with a url", "proxy"))
        for number, repository in enumerate(profile.repositories):
            where = f"repositories[{number}]"
            if repository.key:
                what = "a kickstart has no place for it; rpm --import it in a script"
                self._say(Finding(what, f"{where}.key"))
            yield self._form(forms_system.REPO, repository, where)

    def _place_and_time(self) -> Iterator[Line]:
        profile, legacy = self._profile, self._profile.legacy
        words = ["lang", profile.language]
        if profile.more_languages and self._has(simple.ADDSUPPORT):
            words.append(f"--addsupport={','.join(profile.more_languages)}")
        yield "lang", " ".join(map(quote, words))
        if self._has(simple.LANGSUPPORT):
            yield from self._langsupport()
        elif legacy.default_language:
            yield self._word(simple.LANGSUPPORT, "legacy.default_language", "langsupport")
        elif profile.more_languages and not self._has(simple.ADDSUPPORT):
            yield self._word(simple.ADDSUPPORT, "more_languages", "lang", "--addsupport")
        yield self._keyboard()
        yield from self._time()

    def _langsupport(self) -> Iterator[Line]:
        profile = self._profile
        default = profile.legacy.default_language
        if default or profile.more_languages or self._target.major == OLDEST:
            words = ["langsupport", f"--default={default or profile.language}", *profile.more_languages]
            yield "langsupport", " ".join(map(quote, words))

    def _keyboard(self) -> Line:
        profile = self._profile
        if not profile.layouts:
            return "keyboard", f"keyboard {quote(profile.keyboard)}"
        refusal = simple.LAYOUTS.refusal("keyboard --xlayouts", self._target)
        if refusal:
            self._say(Finding(refusal, "layouts"))
        layouts = quote(f"--xlayouts={','.join(profile.layouts)}")
        return "keyboard", " ".join(["keyboard", quote(f"--vckeymap={profile.keyboard}"), layouts])

    def _time(self) -> Iterator[Line]:
        profile = self._profile
        words = ["timezone", profile.timezone, *(["--utc"] if profile.utc else [])]
        apart = self._has(simple.TIMESOURCE)
        if (profile.ntp_servers or profile.no_ntp) and not apart:
            refusal = simple.NTP_SERVERS.refusal("timezone --ntpservers", self._target)
            if refusal:
                self._say(Finding(refusal, "ntp_servers" if profile.ntp_servers else "no_ntp"))
            words += [f"--ntpservers={','.join(profile.ntp_servers)}"] if profile.ntp_servers else []
            words += ["--nontp"] if profile.no_ntp else []
        yield "timezone", " ".join(map(quote, words))
        if apart:
            for server in profile.ntp_servers:
                yield "timesource", f"timesource {quote(f'--ntp-server={server}')}"
            if profile.no_ntp:
                yield "timesource", "timesource --ntp-disable"

    def _accounts(self) -> Iterator[Line]:
        profile, root = self._profile, self._profile.root
        words = ["rootpw"]
        if root.locked and self._has(simple.LOCK):
            words.append("--lock")
        if root.allow_ssh and root.password is None:
            self._say(Finding("needs a password of root", "root.allow_ssh"))
        if root.allow_ssh:
            yield self._word(simple.ALLOW_SSH, "root.allow_ssh", "rootpw", "--allow-ssh", *words[1:],
                             *_hash(root.password))  # fmt: skip
        elif (root.password and not root.locked) or len(words) > 1:
            yield "rootpw", " ".join(map(quote, [*words, *_hash(root.password)]))
        elif root.locked or not profile.order:
            # Before --lock there was, a password that nothing hashes to did the same.
            yield "rootpw", "rootpw --iscrypted '!!'"
        for number, group in enumerate(profile.user_groups):
            yield self._form(forms_system.GROUP, group, f"user_groups[{number}]")
        for number, user in enumerate(profile.users):
            if not by_script(user, self._target):
                yield self._form(forms_system.USER, user, f"users[{number}]")
        if self._has(simple.SSHKEY):
            for name, key in keys_of(profile):
                yield "sshkey", f"sshkey {quote(f'--username={name}')} {quote(key)}"

    def _network(self) -> Iterator[Line]:
        for number, interface in enumerate(self._profile.network):
            if interface.method is not Method.NONE:
                yield self._form(forms_disk.NETWORK, interface, f"network[{number}]")
            elif _made(interface):
                # There without addresses, for the VLANs on it.
                bare = msgspec.structs.replace(interface, method=Method.DHCP, no_ipv4=True, no_ipv6=True)
                yield self._form(forms_disk.NETWORK, bare, f"network[{number}]")
            elif msgspec.to_builtins(interface).keys() - {"method", "device"}:
                self._say(Finding("with the method none nothing is said of a card", f"network[{number}]"))
        if self._profile.hostname:
            yield "network", f"network {quote(f'--hostname={self._profile.hostname}')}"

    def _system(self) -> Iterator[Line]:
        profile = self._profile
        if profile.firewall is not None:
            yield self._form(forms_system.FIREWALL, profile.firewall, "firewall")
        if profile.selinux is not None:
            if profile.selinux not in simple.SELINUX_STATES:
                self._say(Finding(f"must be one of {', '.join(simple.SELINUX_STATES)}", "selinux"))
            yield self._word(simple.SELINUX, "selinux", "selinux", f"--{profile.selinux}")
        if profile.services.enabled or profile.services.disabled:
            yield self._form(forms_system.SERVICES, profile.services, "services")
        if profile.bootloader is not None:
            yield self._form(forms_system.BOOTLOADER, profile.bootloader, "bootloader")

    def _disks(self) -> Iterator[Line]:
        disks = self._profile.disks
        if disks.zero_mbr:
            yield "zerombr", "zerombr" if self._has(simple.ZEROMBR_BARE) else "zerombr yes"
        if disks.clear is not None:
            yield self._form(forms_disk.CLEARPART, disks.clear, "disks.clear")
        if disks.ignore:
            yield "ignoredisk", f"ignoredisk {quote('--drives=' + ','.join(disks.ignore))}"
        if disks.only:
            only = f"--only-use={','.join(disks.only)}"
            yield self._word(simple.IGNORE_ONLY, "disks.only", "ignoredisk", only)
        if disks.required or disks.required_boot:
            extra = ["--add-boot"] if disks.required_boot else []
            field = "disks.required_boot" if disks.required_boot else "disks.required"
            yield self._word(simple.REQPART, field, "reqpart", *extra)
        if disks.automatic is not None:
            yield self._form(forms_disk.AUTOPART, disks.automatic, "disks.automatic")
        for number, part in enumerate(disks.partitions):
            if not _PLACE.match(part.name):
                what = f"{part.name} is neither a mount point nor swap, nor raid.N, pv.N or btrfs.N"
                self._say(Finding(what, f"disks.partitions[{number}].name"))
            yield self._form(forms_disk.PART, part, f"disks.partitions[{number}]")
        for number, raid in enumerate(disks.raids):
            yield self._form(forms_disk.RAID, raid, f"disks.raids[{number}]")
        for number, group in enumerate(disks.groups):
            yield self._form(forms_disk.VOLGROUP, group, f"disks.groups[{number}]")
        for number, volume in enumerate(disks.volumes):
            yield self._form(forms_disk.LOGVOL, volume, f"disks.volumes[{number}]")

    def _legacy(self) -> Iterator[Line]:
        legacy = self._profile.legacy
        if legacy.auth is not None:
            yield self._form(forms_legacy.AUTH, legacy.auth, "legacy.auth")
        if legacy.authselect:
            refusal = simple.AUTHSELECT.refusal("authselect", self._target)
            if refusal:
                self._say(Finding(refusal, "legacy.authselect"))
            words = self._words(legacy.authselect, "legacy.authselect")
            yield "authselect", " ".join(["authselect", *map(quote, words)])
        if legacy.mouse is not None:
            yield self._form(forms_legacy.MOUSE, legacy.mouse, "legacy.mouse")
        if legacy.x is not None:
            yield self._form(forms_legacy.XCONFIG, legacy.x, "legacy.x")
        for number, driver in enumerate(legacy.drivers):
            yield self._form(forms_legacy.DEVICE, driver, f"legacy.drivers[{number}]")
        for number, disk in enumerate(legacy.driver_disks):
            yield self._form(forms_legacy.DRIVERDISK, disk, f"legacy.driver_disks[{number}]")
        for name, (field, age) in simple.LEGACY_FLAGS.items():
            if name != "install" and getattr(legacy, field):
                yield self._word(age, f"legacy.{field}", name)
        if legacy.autostep:
            extra = ["--autoscreenshot"] if legacy.autoscreenshot else []
            yield self._word(simple.AUTOSTEP, "legacy.autostep", "autostep", *extra)

    def _display_and_end(self) -> Iterator[Line]:
        profile = self._profile
        if profile.display != "default":
            yield self._choice("display", profile.display, simple.DISPLAYS)
        if profile.first_boot is not None:
            yield self._word(simple.FIRSTBOOT, "first_boot", "firstboot", f"--{profile.first_boot}")
        if profile.accept_eula:
            yield self._word(simple.EULA, "accept_eula", "eula", "--agreed")
        if profile.finish == "none":
            for field in ("eject", "kexec"):
                if getattr(profile, field):
                    self._say(Finding("needs a finish", field))
        else:
            name, line = self._choice("finish", profile.finish, simple.ENDS)
            for wanted, word, age in ((profile.eject, "--eject", simple.EJECT),
                                      (profile.kexec, "--kexec", simple.KEXEC)):  # fmt: skip
                if wanted:
                    line += self._word(age, word[2:], name, word)[1][len(name) :]
            yield name, line

    def _words(self, text: str, field: str) -> list[str]:
        """Of a value that is the words of a command, as a shell splits them."""
        try:
            words = shlex.split(text)
        except ValueError as error:
            words, reason = [], str(error).lower()
        else:
            reason = "" if words else "has no word in it"
        if reason:
            self._say(Finding(reason, field))
        return words

    def _choice(self, field: str, value: str, ages: dict[str, Age]) -> Line:
        if value not in ages:
            self._say(Finding(f"must be one of {', '.join(ages)}", field))
            return field, f"# {field}"
        return self._word(ages[value], field, value)


def source_form(source: Source) -> Form:
    """The directive that says where this source is."""
    if source.cdrom:
        return forms_system.CDROM
    if source.nfs_server:
        return forms_system.NFS
    return forms_system.HARDDRIVE if source.disk else forms_system.URL


def _made(one: Interface) -> bool:
    return bool(one.bond_slaves or one.bridge_slaves or one.team_slaves or one.vlan is not None)


def _proxied(source: Source, proxy: str | None) -> Source:
    if not proxy or source.proxy or source_form(source) is not forms_system.URL:
        return source
    return msgspec.structs.replace(source, proxy=proxy)


def _hash(password: str | None) -> list[str]:
    return ["--iscrypted", password] if password else []


def by_script(user: User, target: Target) -> bool:
    """Whether the account is made by a %post script, since the target's `user` cannot say all of it."""
    refused: list[Finding] = []
    forms_system.USER.line(user, target, "", refused.append)
    return bool(refused)


def keys_of(profile: Profile) -> Iterator[tuple[str, str]]:
    """Account and public key, for each."""
    yield from (("root", key) for key in profile.root.keys)
    for user in profile.users:
        yield from ((user.name, key) for key in user.keys)
