"""The directives of the time before Fedora: auth, mouse, xconfig, device, driverdisk, and when each ended."""

from __future__ import annotations

from pxe.answers.kickstart.age import Age
from pxe.answers.kickstart.form import Form, Kind, Option
from pxe.answers.legacy import Auth, Driver, DriverDisk, Mouse, X

_FLAG, _NUMBER = Kind.FLAG, Kind.NUMBER
_PROBED = Age("", "F9 R6", "X finds it by itself")
_PROBED_LATER = Age("", "F14 R7", "X finds it by itself")
AUTH_AGE = Age("", "F35 R10", "use authselect")

AUTH = Form("auth", Auth, (
    Option("--enablemd5", "md5", _FLAG),
    Option("--passalgo", "password_algorithm", age=Age("F9 R6")),
    Option("--enableshadow", "shadow", _FLAG, also=("--useshadow",)),
    Option("--enablenis", "nis", _FLAG),
    Option("--nisdomain", "nis_domain"),
    Option("--nisserver", "nis_server"),
    Option("--enableldap", "ldap", _FLAG),
    Option("--enableldapauth", "ldap_auth", _FLAG),
    Option("--ldapserver", "ldap_server"),
    Option("--ldapbasedn", "ldap_base"),
    Option("--enableldaptls", "ldap_tls", _FLAG),
    Option("--enablekrb5", "kerberos", _FLAG),
    Option("--krb5realm", "kerberos_realm"),
    Option("--krb5kdc", "kerberos_kdc"),
    Option("--krb5adminserver", "kerberos_admin"),
    Option("--enablehesiod", "hesiod", _FLAG),
    Option("--hesiodlhs", "hesiod_lhs"),
    Option("--hesiodrhs", "hesiod_rhs"),
    Option("--enablesmbauth", "smb", _FLAG),
    Option("--smbservers", "smb_servers"),
    Option("--smbworkgroup", "smb_workgroup"),
    Option("--enablecache", "cache", _FLAG),
), age=AUTH_AGE)  # fmt: skip

MOUSE = Form("mouse", Mouse, (
    Option("--device", "device"),
    Option("--emulthree", "three_buttons", _FLAG),
), ("type",), age=Age("", "F7 R5", "the kernel finds it by itself"))  # fmt: skip

XCONFIG = Form("xconfig", X, (
    Option("--noprobe", "noprobe", _FLAG, _PROBED),
    Option("--card", "card", age=_PROBED),
    Option("--driver", "driver", age=Age("F6 R5", "F14 R6", "X finds it by itself")),
    Option("--server", "server", age=Age("F3 R3", "F6 R5", "X finds it by itself")),
    Option("--videoram", "video_ram", _NUMBER, _PROBED_LATER),
    Option("--monitor", "monitor", age=_PROBED),
    Option("--hsync", "hsync", age=_PROBED),
    Option("--vsync", "vsync", age=_PROBED),
    Option("--defaultdesktop", "desktop"),
    Option("--startxonboot", "start", _FLAG),
    Option("--resolution", "resolution", age=_PROBED_LATER),
    Option("--depth", "depth", _NUMBER, _PROBED_LATER),
))  # fmt: skip

DEVICE = Form("device", Driver, (
    Option("--opts", "options"),
), ("type", "module"), age=Age("", "F34 R9", "give the module on the installer's command line"))  # fmt: skip

DRIVERDISK = Form("driverdisk", DriverDisk, (
    Option("--type", "type", age=Age("", "F14 R7", "it is found out")),
    Option("--source", "source", age=Age("F3 R3")),
    Option("--biospart", "bios_partition", age=Age("F4 R4")),
), ("partition",))  # fmt: skip
