"""How a distribution's installer is started: which file it fetches its answers from, and the kernel's
arguments that make it do so without a question. Pure.

Field facts, by who needs them:
* Anaconda: `inst.` in front since Fedora 17 and RHEL 7, without it before; Red Hat Linux and RHEL up to 4 do
  not know the card by its MAC. It sends its log over TCP (`*.* @@HOST` in its rsyslog), from RHEL 5 on.
* Debian: the network is asked for before the answers can be fetched, so its questions are answered here. The
  text front end, where the console is serial: the other one draws with escapes.
* Ubuntu: cloud-init takes `url=`, which is meant for the installer's medium, for its own and would load a
  whole ISO into memory; `cloud-config-url` keeps it from that. `nocloud-net` was the name until 22.04.
* A `;` ends a command in GRUB (`pxe.grub` quotes it); iPXE passes it on.
* Debian's and Ubuntu's installers give the installed system what stands behind `---`; Anaconda its consoles.
* UEFI kernels find their initial RAM disks only by `initrd=NAME`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pxe.answers.errors import Finding
from pxe.answers.network import Interface, Method
from pxe.answers.preseed.render import network_answers
from pxe.answers.profile import Profile
from pxe.answers.targets import Target
from pxe.trees.facts import Installer, TreeFacts

_KEEPS_THE_REST = (Installer.PRESEED, Installer.AUTOINSTALL)


@dataclass(frozen=True, slots=True)
class Start:
    """One machine and one tree. URLs of directories end in `/`.

    `tree`: where the tree is; `iso`: the whole medium, "" without one; `answers`: where this machine's answer
    files are; `log`: HOST:PORT of who takes the log, "" for nobody; `disk`: where CoreOS goes.
    """

    facts: TreeFacts
    tree: str
    answers: str
    mac: str
    iso: str = ""
    log: str = ""
    console: tuple[str, ...] = ()
    disk: str = ""


def answer_names(installer: Installer) -> tuple[str, ...]:
    """The files that an installer fetches, the one with the answers first."""
    return {
        Installer.KICKSTART: ("ks.cfg",),
        Installer.PRESEED: ("preseed.cfg",),
        Installer.AUTOINSTALL: ("user-data", "meta-data", "vendor-data"),
        Installer.AUTOYAST: ("autoinst.xml",),
        Installer.IGNITION: ("config.ign",),
        Installer.NONE: (),
    }[installer]


def arguments(start: Start, profile: Profile, target: Target | None) -> str:
    """The kernel's command line. Raises ValueError for what no command line can hold."""
    writers = {
        Installer.KICKSTART: _kickstart,
        Installer.PRESEED: _preseed,
        Installer.AUTOINSTALL: _autoinstall,
        Installer.AUTOYAST: _autoyast,
        Installer.IGNITION: _ignition,
    }
    if start.facts.installer not in writers:
        raise ValueError(f"{start.facts.title} has no installer that takes answers")
    words = list(writers[start.facts.installer](start, profile, target))
    words += [f"initrd={name.rpartition('/')[2]}" for name in start.facts.initrds]
    if start.console:
        words += ["---"] if start.facts.installer in _KEEPS_THE_REST else []
        words += [f"console={console}" for console in start.console]
    if bad := next((word for word in words if not word.isprintable() or " " in word or '"' in word), None):
        raise ValueError(f"not a word of a kernel's command line: {bad!r}")
    return " ".join(words)


def _bootif(mac: str) -> str:
    return f"BOOTIF=01-{mac.replace(':', '-')}"


def _kickstart(start: Start, profile: Profile, target: Target | None) -> Iterator[str]:
    line, major = (target.line, target.major) if target is not None else ("rhel", 99)
    file = f"{start.answers}{answer_names(Installer.KICKSTART)[0]}"
    modern = major >= (7 if line == "rhel" else 17)
    if modern:
        yield f"inst.ks={file}"
        yield f"inst.stage2={start.tree}"
        # This one would override what the answers say.
        if profile.source is None:
            yield f"inst.repo={start.tree}"
        yield from ("ip=dhcp", _bootif(start.mac))
        yield from [f"inst.syslog={start.log}"] if start.log else []
        return
    yield f"ks={file}"
    recent = major >= (5 if line == "rhel" else 8)
    if recent:
        yield f"ksdevice={start.mac}"
        yield from [f"syslog={start.log}"] if start.log else []
    if (major == 6 and line == "rhel") or (line == "fedora" and major >= 11):
        yield f"stage2={start.tree}{start.facts.root}" if start.facts.root else f"repo={start.tree}"
    if profile.source is None:
        yield f"method={start.tree.rstrip('/')}"


def _preseed(start: Start, profile: Profile, target: Target | None) -> Iterator[str]:
    yield from ("auto=true", "priority=critical")
    yield f"url={start.answers}{answer_names(Installer.PRESEED)[0]}"
    serial = bool(start.console) and start.console[-1].startswith(("ttyS", "ttyAMA", "hvc"))
    yield from ["DEBIAN_FRONTEND=text"] if serial else []
    yield from _netcfg(profile)
    if start.log:
        host, _, port = start.log.partition(":")
        yield from (f"log_host={host}", f"log_port={port or 514}")


def _netcfg(profile: Profile) -> Iterator[str]:
    """The answers that are needed before the answers are there."""
    ignored: list[Finding] = []
    for name, _, value in network_answers(profile, ignored.append):
        first = value.split(" ")[0]  # of several name servers
        short = {"netcfg/choose_interface": "interface", "netcfg/get_hostname": "hostname",
                 "netcfg/get_domain": "domain"}.get(name, name)  # fmt: skip
        if first and name != "netcfg/hostname":
            yield f"{short}={first}"
    interface = profile.network[0] if profile.network else Interface()
    if interface.method is not Method.STATIC:
        yield "netcfg/dhcp_timeout=60"  # a switch may take half a minute to let a new port through


def _autoinstall(start: Start, profile: Profile, target: Target | None) -> Iterator[str]:
    old = target is not None and target.version < (23, 0)
    if target is not None and target.version < (22, 0):
        yield from ("root=/dev/ram0", "ramdisk_size=1500000")
    yield from ("ip=dhcp", _bootif(start.mac))
    if start.iso:
        yield from (f"url={start.iso}", "cloud-config-url=/dev/null")
    yield "autoinstall"
    yield f"ds={'nocloud-net' if old else 'nocloud'};s={start.answers}"


def _autoyast(start: Start, profile: Profile, target: Target | None) -> Iterator[str]:
    yield f"install={start.tree}"
    yield f"autoyast={start.answers}{answer_names(Installer.AUTOYAST)[0]}"
    yield from ("netsetup=dhcp", _bootif(start.mac), "textmode=1")


def _ignition(start: Start, profile: Profile, target: Target | None) -> Iterator[str]:
    file = f"{start.answers}{answer_names(Installer.IGNITION)[0]}"
    if start.facts.root:
        yield f"coreos.live.rootfs_url={start.tree}{start.facts.root}"
    yield from ("ip=dhcp", "ignition.firstboot", "ignition.platform.id=metal")
    yield f"coreos.inst.install_dev={start.disk or '/dev/sda'}"
    yield f"coreos.inst.ignition_url={file}"
