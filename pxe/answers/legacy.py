"""What only old installers were asked: network log-ins by authconfig, mouse, X, drivers, LILO's checks.

Kept because the files of that time are still imported and machines of that time still installed.
"""

from __future__ import annotations

from pxe.answers.text import Count, Item, Line, Section, Words


class Auth(Section, frozen=True, kw_only=True):
    """The `auth` / `authconfig` directive; each field is one of its options."""

    md5: bool = False
    password_algorithm: Item | None = None
    shadow: bool = False
    nis: bool = False
    nis_domain: Line | None = None
    nis_server: Line | None = None
    ldap: bool = False
    ldap_auth: bool = False
    ldap_server: Line | None = None
    ldap_base: Line | None = None
    ldap_tls: bool = False
    kerberos: bool = False
    kerberos_realm: Line | None = None
    kerberos_kdc: Line | None = None
    kerberos_admin: Line | None = None
    hesiod: bool = False
    hesiod_lhs: Line | None = None
    hesiod_rhs: Line | None = None
    smb: bool = False
    smb_servers: Line | None = None
    smb_workgroup: Line | None = None
    cache: bool = False


class Mouse(Section, frozen=True, kw_only=True):
    """The pointing device of an installer that had to be told."""

    type: Item
    device: Line | None = None
    three_buttons: bool = False


class X(Section, frozen=True, kw_only=True):
    """The X Window System."""

    noprobe: bool = False
    card: Line | None = None
    driver: Line | None = None
    server: Line | None = None
    video_ram: Count | None = None  # KiB
    monitor: Line | None = None
    hsync: Line | None = None
    vsync: Line | None = None
    desktop: Line | None = None
    start: bool = False
    resolution: Item | None = None
    depth: Count | None = None


class Driver(Section, frozen=True, kw_only=True):
    """A kernel module that the installer must load: `device scsi aic7xxx --opts=...`."""

    type: Item | None = None
    module: Item
    options: Line | None = None


class DriverDisk(Section, frozen=True, kw_only=True):
    """A disk with drivers: a partition, or where from."""

    partition: Item | None = None
    type: Item | None = None
    source: Line | None = None
    bios_partition: Line | None = None


class Legacy(Section, frozen=True, kw_only=True):
    """All of it."""

    auth: Auth | None = None
    mouse: Mouse | None = None
    x: X | None = None
    skip_x: bool = False
    drivers: tuple[Driver, ...] = ()
    driver_disks: tuple[DriverDisk, ...] = ()
    device_probe: bool = False
    default_language: Item | None = None
    lilo_check: bool = False
    autostep: bool = False
    autoscreenshot: bool = False
    interactive: bool = False
    install: bool = False  # says the word `install` to installers that want it; implied for all others
    upgrade: bool = False
    authselect: Words | None = None
