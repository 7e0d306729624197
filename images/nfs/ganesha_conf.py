"""The configuration of nfs-ganesha 4 to 6 (ganesha-config(8)) as text. Pure.

Versions 3 and 4 by TCP, both under the same path (`mount_path_pseudo`). No locks of version 3 (NLM needs a
second daemon at both ends): its clients mount with `nolock`.

Lease and grace: after a restart, clients that held files open reclaim them for GRACE seconds, and nobody
opens anything new. It ends early once every client on record has said that it is done (RFC 8881 section
18.51), so only machines that were switched off meanwhile make it last. It must not be shorter than the
lease (section 8.4.2.1), and a lease of 30 s outlives a switch that learns its ports again.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from images.nfs.export import Export

LEASE = GRACE = 30
FILES_REMEMBERED = 200_000  # about 1 KiB each
STEADY = 600  # seconds for which attributes of what never changes are believed
EXPORTS = "exports.conf"


def settings(home: Path, port: int, mount_port: int, version_3: bool, release: int = 4) -> str:
    """The main file; the exports are read from the file EXPORTS beside it, again at each SIGHUP. `release`:
    Ganesha's own."""
    protocols = "3, 4" if version_3 else "4"
    # From 6 on it wants PR_SET_IO_FLUSHER, and ends without: containers do not grant CAP_SYS_RESOURCE.
    flusher = "\n    Allow_Set_Io_Flusher_Fail = true;" if release >= 6 else ""
    return f"""NFS_CORE_PARAM {{
    NFS_Port = {port};
    MNT_Port = {mount_port};
    Protocols = {protocols};
    Enable_UDP = false;
    Enable_NLM = false;
    Enable_RQUOTA = false;
    Clustered = false;
    mount_path_pseudo = true;
    DRC_TCP_Size = 128;
    RPC_Max_Connections = 10000;{flusher}
}}
NFSV4 {{
    Lease_Lifetime = {LEASE};
    Grace_Period = {GRACE};
    RecoveryRoot = "{home / "recovery"}";
    Only_Numeric_Owners = true;
    Delegations = false;
}}
NFS_KRB5 {{
    Active_krb5 = false;
}}
MDCACHE {{
    Entries_HWMark = {FILES_REMEMBERED};
}}
LOG {{
    Default_Log_Level = EVENT;
}}
%include "{home / EXPORTS}"
"""


def exports(listed: Iterable[Export]) -> str:
    """The file EXPORTS. Ports below 1024 only: any user of a machine could claim to be root otherwise."""
    head = """EXPORT_DEFAULTS {
    Access_Type = None;
    Squash = no_root_squash;
    SecType = sys;
    Transports = TCP;
    PrivilegedPort = true;
}
"""
    return head + "".join(_export(export) for export in sorted(listed, key=lambda one: one.id))


def _export(export: Export) -> str:
    lines = [
        f"Export_Id = {export.id};",
        f'Path = "{_quoted(str(export.directory))}";',
        f'Pseudo = "{export.path}";',
        "FSAL { Name = VFS; }",
    ]
    if export.squash:
        lines.append("Squash = all_squash;")
    if not export.writable:
        lines.append(f"Attr_Expiration_Time = {STEADY};")
    if export.clients:
        access = "RW" if export.writable else "RO"
        lines.append(f"CLIENT {{ Clients = {', '.join(export.clients)}; Access_Type = {access}; }}")
    return "EXPORT {\n" + "".join(f"    {line}\n" for line in lines) + "}\n"


def _quoted(text: str) -> str:
    if '"' in text or "\n" in text:
        raise ValueError(f"{text!r} cannot be exported")
    return text
