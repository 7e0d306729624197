"""Whatever field a profile has: each dialect writes it, or says that it does not."""

import json
import re

import msgspec
import pytest
from ks_house import HASH

from bootsrv.answers import files
from bootsrv.answers.files import Rendered, render
from pxe.answers.kickstart.parser import KickstartParser
from pxe.answers.profile import Profile, profile_from
from pxe.answers.targets import Dialect, find_target

SECRETS = {"disk": "x", "other": "y"}
PARSER = KickstartParser()
TARGETS = ("rhl7.2", "rhel5", "rhel7", "fedora42", "debian13", "ubuntu24.04", "sles15", "coreos", "nocloud")
WORDS = ("word", "secret:other", "/word", "9.9.9.9", "8080:tcp", "$1$abc$" + "x" * 22, "{ }")
# Where a word of the field's own kind is wanted, or a value that is not what is there anyway.
SAMPLES = {
    "target": None,  # it is which file is written
    "packages.none": None, "order": None,  # of imported files, about what else is in them
    "finish": "poweroff", "display": "graphical", "timezone": "Europe/Prague", "selinux": "permissive",
    "language": "cs_CZ.UTF-8", "keyboard": "cz", "first_boot": "disable",
    "network.method": "dhcp", "network.onboot": False, "network.netmask": "255.255.0.0",
    "network.gateway": "10.0.0.254",
    "network.ipv6": "2001:db8::2/64", "network.ipv6_gateway": "2001:db8::1", "network.address": "10.0.0.9",
    "network.vlan": 171, "network.device": "eth9", "network.bond_options": "mode=802.3ad",
    "disks.clear.label": "msdos", "disks.clear.what": "linux", "disks.automatic.type": "thinp",
    "scripts.when": "pre", "scripts.interpreter": "/bin/bash", "raw.lines": ["vnc --host=x"],
    "legacy.install": None, "legacy.autoscreenshot": None, "bootloader.timeout": 9,
    "disks.raids.level": "5", "disks.raids.device": "md1", "disks.raids.members": None,
    "disks.groups.members": None,
    "disks.volumes.group": None, "disks.raids.name": None, "disks.groups.name": None,
    "legacy.upgrade": True, "firewall.level": "high", "bootloader.location": "partition",
    "disks.partitions.filesystem": "btrfs", "disks.raids.filesystem": "btrfs",
    "disks.volumes.filesystem": "btrfs", "disks.partitions.mount_options": "noatime",
    "disks.raids.mount_options": "noatime", "disks.volumes.mount_options": "noatime",
    "disks.volumes.mount": "/var", "disks.partitions.name": "/opt", "proxy": "http://10.0.0.1:3128",
}  # fmt: skip
STATIC = {"device": "eth0", "method": "static", "address": "10.0.0.2", "netmask": "255.255.255.0"}
# What must be there beside a field, so that it means something.
BESIDE = {
    "network.bond_options": {"device": "bond0", "bond_slaves": ["eth1"]},
    "network.bridge_options": {"device": "br0", "bridge_slaves": ["eth1"]},
    "network.ipv6_gateway": {**STATIC, "ipv6": "2001:db8::2/64"},
    "source.nfs_options": {"nfs_server": "h", "directory": "/d"}, "source.directory": {"nfs_server": "h"},
    "source.nfs_server": {"directory": "/d"}, "source.disk": {"directory": "/d"},
    "source.cdrom": {}, "source.mirror_list": {}, "source.metalink": {},
    "network.no_ipv4": {"device": "eth0"}, "network.no_default_route": {**STATIC, "gateway": "10.0.0.1"},
    "root.locked": {"password": HASH, "locked": False},
    "disks.partitions.max_size": {"grow": True}, "disks.volumes.max_size": {"grow": True},
    "disks.automatic.no_lvm": {}, "disks.automatic.type": {},
}  # fmt: skip
DISKS = {
    "disks.partitions": {"partitions": [{"name": "/srv", "size": 900, "disk": "sda"}]},
    "disks.raids": {
        "partitions": [{"name": "raid.1", "size": 9, "disk": "sda"},
                       {"name": "raid.2", "size": 9, "disk": "sdb"}],
        "raids": [{"name": "/srv", "device": "md0", "level": "1", "members": ["raid.1", "raid.2"]}],
    },
    "disks.groups": {
        "partitions": [{"name": "pv.1", "size": 900}], "groups": [{"name": "vg0", "members": ["pv.1"]}],
        "volumes": [{"mount": "/", "group": "vg0", "name": "root", "size": 9, "grow": True},
                    {"mount": "/srv", "group": "vg0", "name": "srv", "size": 9}],
    },
    "disks.automatic": {"automatic": {"luks": {"passphrase": "secret:disk"}}},
    "disks.clear": {"partitions": [{"name": "/srv", "size": 900, "disk": "sda"}]},
}  # fmt: skip
DISKS["disks.volumes"] = DISKS["disks.groups"]


def leaves(info: msgspec.inspect.Type, path: str = "") -> list[tuple[str, msgspec.inspect.Type]]:
    """Every field that holds a value, with its kind."""
    if isinstance(info, msgspec.inspect.UnionType):
        info = next(one for one in info.types if not isinstance(one, msgspec.inspect.NoneType))
    if isinstance(info, msgspec.inspect.VarTupleType) and isinstance(
        info.item_type, msgspec.inspect.StructType
    ):
        info = info.item_type
    if not isinstance(info, msgspec.inspect.StructType):
        return [(path, info)]
    return [leaf for one in info.fields for leaf in leaves(one.type, f"{path}.{one.name}".strip("."))]


LEAVES = dict(leaves(msgspec.inspect.type_info(Profile)))


def sample(path: str) -> object:
    if path in SAMPLES:
        return SAMPLES[path]
    kind = LEAVES[path]
    if isinstance(kind, msgspec.inspect.VarTupleType):
        return [text(kind.item_type)]
    if isinstance(kind, msgspec.inspect.BoolType):
        return path != "utc"
    if isinstance(kind, msgspec.inspect.IntType):
        return 7
    return text(kind)


def text(kind: msgspec.inspect.Type) -> str:
    assert isinstance(kind, msgspec.inspect.StrType), kind
    return next(word for word in WORDS if re.search(kind.pattern or "", word))


def base(path: str) -> dict:
    """A profile with the place where the field goes."""
    values: dict = {
        "hostname": "n01" if path != "network.hostname" else None,
        "users": [{"name": "ada", "password": HASH}],
    }
    top, _, rest = path.partition(".")
    place = f"{top}.{rest.partition('.')[0]}"
    if top == "network":
        values["network"] = [dict(BESIDE.get(path, STATIC))]
    elif top == "source":
        values["source"] = dict(BESIDE.get(path, {"url": "http://10.0.0.1/t"}))
    elif top == "repositories":
        values["repositories"] = [{"name": "more", "url": "http://10.0.0.1/more ./"}]
    elif top == "user_groups":
        values["user_groups"] = [{"name": "crew"}]
    elif top == "scripts":
        values["scripts"] = [{"text": "echo\n"}]
    elif place == "disks.automatic" and path in BESIDE:
        values["disks"] = {"automatic": {}}
    elif place in DISKS:
        values["disks"] = json.loads(json.dumps(DISKS[place]))
        if path in BESIDE:
            values["disks"][place.partition(".")[2]][-1] |= BESIDE[path]
    elif top in ("root", "raw"):
        values[top] = dict(BESIDE.get(path, {})) if top == "root" else [{"lines": ["vnc"]}]
    elif top == "legacy":
        values["legacy"] = (
            {"mouse": {"type": "ps2"}} if place == "legacy.mouse" else dict(BESIDE.get(path, {}))
        )
        if place == "legacy.drivers":
            values["legacy"] = {"drivers": [{"module": "m"}]}
    return values


def put(values: dict, path: str, value: object) -> dict:
    holder = values
    *outer, last = path.split(".")
    lists = {"network", "users", "repositories", "user_groups", "scripts", "partitions", "raids", "groups",
             "volumes", "drivers", "driver_disks", "raw"}  # fmt: skip
    for number, name in enumerate(outer):
        if name in lists and not (name == "groups" and number == 0):
            holder = holder.setdefault(name, [{}])[-1]
        else:
            holder = holder.setdefault(name, {})
    holder[last] = value
    return values


def of(values: dict, target: str) -> Rendered:
    return render(profile_from(values), find_target(target), SECRETS, PARSER)


def about(finding_field: str, path: str) -> bool:
    plain = re.sub(r"\[\d+\]", "", finding_field)
    return bool(plain) and (path == plain or path.startswith(f"{plain}.") or plain.startswith(f"{path}."))


@pytest.mark.parametrize("target", TARGETS)
def test_every_field_is_written_or_said_to_be_left_out(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if (
        find_target(target).dialect is not Dialect.KICKSTART
    ):  # only there the reader knows more than the writer
        monkeypatch.setattr(files, "validate", lambda *given: ())
    befores: dict[str, Rendered] = {}
    silent = []
    for path in LEAVES:
        value = sample(path)
        if value is None:
            continue
        empty = base(path)
        if repr(empty) not in befores:
            befores[repr(empty)] = of(empty, target)
        before = befores[repr(empty)]
        after = of(put(base(path), path, value), target)
        said = any(about(one.field, path) for one in after.findings)
        other = after.good and (before.text, before.beside) != (after.text, after.beside)
        if not said and not other:
            silent.append((path, [str(one) for one in after.findings][:2]))
    assert silent == []


@pytest.fixture(autouse=True, scope="module")
def _one_parser():
    yield
    PARSER.close()
