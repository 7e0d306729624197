"""Collects directives into the fields of a profile, one handler per directive or one form for both ways."""

from __future__ import annotations

import shlex
from typing import Any

import msgspec

from pxe.answers.kickstart import forms_disk, forms_legacy, forms_system, simple
from pxe.answers.kickstart.clear import Clear
from pxe.answers.kickstart.form import Form, Kind, Option, Strange
from pxe.answers.text import Section

Words = tuple[str, ...]

# Directive -> form, and where its record goes: a field, or a list of them.
_ONE = {
    "url": (forms_system.URL, "source"), "nfs": (forms_system.NFS, "source"),
    "harddrive": (forms_system.HARDDRIVE, "source"), "bootloader": (forms_system.BOOTLOADER, "bootloader"),
    "firewall": (forms_system.FIREWALL, "firewall"), "services": (forms_system.SERVICES, "services"),
    "clearpart": (forms_disk.CLEARPART, "disks.clear"), "autopart": (forms_disk.AUTOPART, "disks.automatic"),
    "auth": (forms_legacy.AUTH, "legacy.auth"), "authconfig": (forms_legacy.AUTH, "legacy.auth"),
    "mouse": (forms_legacy.MOUSE, "legacy.mouse"), "xconfig": (forms_legacy.XCONFIG, "legacy.x"),
}  # fmt: skip
_MANY = {
    "network": (forms_disk.NETWORK, "network"), "repo": (forms_system.REPO, "repositories"),
    "user": (forms_system.USER, "users"), "group": (forms_system.GROUP, "user_groups"),
    "part": (forms_disk.PART, "disks.partitions"), "partition": (forms_disk.PART, "disks.partitions"),
    "raid": (forms_disk.RAID, "disks.raids"), "volgroup": (forms_disk.VOLGROUP, "disks.groups"),
    "logvol": (forms_disk.LOGVOL, "disks.volumes"), "device": (forms_legacy.DEVICE, "legacy.drivers"),
    "driverdisk": (forms_legacy.DRIVERDISK, "legacy.driver_disks"),
}  # fmt: skip
_SAME = {"partition": "part", "authconfig": "auth", "lilo": "bootloader"}

_TIMEZONE = Form("timezone", Section, (
    Option("--utc", "utc", Kind.FLAG, also=("--isUtc",)), Option("--nontp", "no_ntp", Kind.FLAG),
    Option("--ntpservers", "ntp_servers", Kind.LIST),
), ("timezone",))  # fmt: skip
_LANG = Form("lang", Section, (Option("--addsupport", "more_languages", Kind.LIST),), ("language",))
_LANGSUPPORT = Form("langsupport", Section, (Option("--default", "default"),), ("more",), many=True)
_KEYBOARD = Form("keyboard", Section, (
    Option("--vckeymap", "keyboard"), Option("--xlayouts", "layouts", Kind.LIST),
), ("keyboard",))  # fmt: skip
_TIMESOURCE = Form("timesource", Section, (
    Option("--ntp-server", "server"), Option("--ntp-disable", "off", Kind.FLAG),
))  # fmt: skip
_ROOTPW = Form("rootpw", Section, (
    Option("--iscrypted", "password", Kind.MARK), Option("--plaintext", "plain", Kind.FLAG),
    Option("--lock", "locked", Kind.FLAG), Option("--allow-ssh", "allow_ssh", Kind.FLAG),
), ("password",))  # fmt: skip
_SSHKEY = Form("sshkey", Section, (Option("--username", "name"),), ("key",))
_IGNORE = Form("ignoredisk", Section, (
    Option("--drives", "ignore", Kind.LIST), Option("--only-use", "only", Kind.LIST),
))  # fmt: skip
_REQPART = Form("reqpart", Section, (Option("--add-boot", "required_boot", Kind.FLAG),))
_AUTOSTEP = Form("autostep", Section, (Option("--autoscreenshot", "autoscreenshot", Kind.FLAG),))
_END = Form("reboot", Section, (
    Option("--eject", "eject", Kind.FLAG), Option("--kexec", "kexec", Kind.FLAG),
))  # fmt: skip


class Fields:
    """The values so far. `take` adds one directive's or raises Strange, and then has changed nothing."""

    def __init__(self, clear: Clear) -> None:
        self._clear = clear
        self._line = 0
        self._values: dict[str, Any] = {"utc": False, "display": "default", "finish": "none", "root": {}}
        self._seen: set[str] = set()

    def values(self) -> dict[str, Any]:
        """The profile's values, but for sections and raw lines. `keys` wait for all accounts to be known."""
        values = {name: value for name, value in self._values.items() if name != "keys"}
        for name, key in self._values.get("keys", ()):
            account = values["root"] if name == "root" else _account(values, name)
            account["keys"] = (*account.get("keys", ()), key)
        return values

    def take(self, words: Words, line: int) -> str:
        """Hold one directive; its name as we write it. Raises Strange, msgspec.ValidationError."""
        self._line = line
        name = words[0]
        method = getattr(self, "_take_" + name.replace("-", "_"), None)
        if name in _MANY:
            form, path = _MANY[name]
            record = self._record(form, words[1:])
            if name == "network" and set(record) == {"hostname"} and len(words) == 2:
                self._once("network --hostname", {"hostname": record["hostname"]})
            else:
                self._put(path, record, many=True)
        elif name in _ONE:
            form, path = _ONE[name]
            record = self._record(form, words[1:])
            self._mark(path)
            self._put(path, record)
        elif method is not None:
            method(words)
        else:
            self._plain(name, words)
        return _SAME.get(name, name)

    def _plain(self, name: str, words: Words) -> None:
        if name in simple.LEGACY_FLAGS and len(words) == 1:
            self._put(f"legacy.{simple.LEGACY_FLAGS[name][0]}", True)
        elif name in simple.DISPLAYS and len(words) == 1:
            self._once("display", {"display": name})
        elif name in simple.ENDS:
            self._once("finish", {"finish": name, **_END.read(words[1:])})
        else:
            raise Strange(" ".join(words)[:60])

    def _record(self, form: Form, words: Words) -> dict[str, Any]:
        values = form.read(words)
        self._passwords(form, values)
        msgspec.convert(values, form.record)
        return values

    def _passwords(self, form: Form, values: dict[str, Any]) -> None:
        crypted, plain = values.pop("--iscrypted", False), values.pop("--plaintext", False)
        text = values.get("password")
        hashed = crypted or (text or "").startswith("$")
        if text and (plain or not hashed) and "password" in form.record.__struct_fields__:
            values["password"] = (
                self._clear.hashed(text, f"user {values.get('name', '')}", self._line)
                if form.command == "user"
                else self._clear.loader_hashed(text, self._line)
            )
        luks = values.get("luks")
        if luks and "passphrase" in luks:
            luks["passphrase"] = self._clear.secret(luks["passphrase"], "passphrase", self._line)

    def _once(self, mark: str, values: dict[str, Any]) -> None:
        self._mark(mark)
        self._values.update(values)

    def _mark(self, mark: str) -> None:
        if mark in self._seen:
            raise Strange(f"{mark} for the second time")
        self._seen.add(mark)

    def _put(self, path: str, value: Any, many: bool = False) -> None:
        holder = self._values
        *outer, last = path.split(".")
        for name in outer:
            holder = holder.setdefault(name, {})
        if many:
            holder.setdefault(last, []).append(value)
        else:
            holder[last] = value

    # --- directives with a rule of their own ---

    def _take_cdrom(self, words: Words) -> None:
        if len(words) > 1:
            raise Strange(" ".join(words))
        self._once("source", {"source": {"cdrom": True}})

    def _take_lilo(self, words: Words) -> None:
        record = self._record(forms_system.LILO, words[1:])
        self._mark("bootloader")
        self._put("bootloader", {**record, "lilo": True})

    def _take_lang(self, words: Words) -> None:
        self._once("lang", _LANG.read(words[1:]))

    def _take_langsupport(self, words: Words) -> None:
        values = _LANGSUPPORT.read(words[1:])
        if not words[1:]:
            raise Strange("langsupport without a language")
        self._mark("langsupport")
        self._values["more_languages"] = values["more"]
        default = values.get("default")
        if default and default != self._values.get("language"):
            self._put("legacy.default_language", default)

    def _take_keyboard(self, words: Words) -> None:
        values = _KEYBOARD.read(words[1:])
        if "layouts" in values:
            values["layouts"] = tuple(one.strip("'\" ") for one in values["layouts"])
        if "keyboard" not in values:
            raise Strange("keyboard without a console keymap")
        apart = any(word.startswith("--vckeymap") for word in words)
        if apart != ("layouts" in values):
            raise Strange("keyboard with a keymap for the console or for X alone")
        self._once("keyboard", values)

    def _take_timezone(self, words: Words) -> None:
        values = _TIMEZONE.read(words[1:])
        if "timezone" not in values:
            raise Strange("timezone without a zone")
        self._once("timezone", values)

    def _take_timesource(self, words: Words) -> None:
        values = _TIMESOURCE.read(words[1:])
        if "server" in values:
            self._values["ntp_servers"] = (*self._values.get("ntp_servers", ()), values["server"])
        if "off" in values:
            self._values["no_ntp"] = True

    def _take_rootpw(self, words: Words) -> None:
        values = _ROOTPW.read(words[1:])
        crypted = values.pop("--iscrypted", False)
        values.pop("plain", None)
        self._mark("rootpw")
        text = values.pop("password", "")
        if text and not crypted:
            text = self._clear.hashed(text, "rootpw", self._line)
        if text and not text.strip("!*"):
            values["locked"], text = True, ""
        if text:
            values["password"] = text
        self._values["root"].update(values)

    def _take_sshkey(self, words: Words) -> None:
        values = _SSHKEY.read(words[1:])
        if set(values) != {"name", "key"}:
            raise Strange(" ".join(words)[:60])
        self._values.setdefault("keys", []).append((values["name"], values["key"]))

    def _take_zerombr(self, words: Words) -> None:
        if words[1:] not in ((), ("yes",)):
            raise Strange(" ".join(words))
        self._put("disks.zero_mbr", True)

    def _take_ignoredisk(self, words: Words) -> None:
        self._mark("ignoredisk")
        for name, value in _IGNORE.read(words[1:]).items():
            self._put(f"disks.{name}", value)

    def _take_reqpart(self, words: Words) -> None:
        self._put("disks.required", True)
        for name, value in _REQPART.read(words[1:]).items():
            self._put(f"disks.{name}", value)

    def _take_autostep(self, words: Words) -> None:
        for name, value in {"autostep": True, **_AUTOSTEP.read(words[1:])}.items():
            self._put(f"legacy.{name}", value)

    def _take_authselect(self, words: Words) -> None:
        self._mark("authselect")
        self._put("legacy.authselect", shlex.join(words[1:]))

    def _take_selinux(self, words: Words) -> None:
        if len(words) != 2 or words[1][2:] not in simple.SELINUX_STATES:
            raise Strange(" ".join(words))
        self._once("selinux", {"selinux": words[1][2:]})

    def _take_firstboot(self, words: Words) -> None:
        state = simple.FIRSTBOOT_STATES.get(words[1]) if len(words) == 2 else None
        if state is None:
            raise Strange(" ".join(words))
        self._once("firstboot", {"first_boot": state})

    def _take_eula(self, words: Words) -> None:
        if words[1:] not in (("--agreed",), ("--accept",), ("--accepted",), ("--agree",)):
            raise Strange(" ".join(words))
        self._values["accept_eula"] = True


def _account(values: dict[str, Any], name: str) -> dict[str, Any]:
    users: list[dict[str, Any]] = values.setdefault("users", [])
    found = next((one for one in users if one.get("name") == name), None)
    if found is None:
        found = {"name": name}
        users.append(found)
    return found
