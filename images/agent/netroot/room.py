"""The little service on a diskless machine that says how full its write layer is: to the server, and loudly
on the machine itself when nothing more fits.

POSIX shell, since an image may have nothing else. Python 3.8, standard library only.
"""

from __future__ import annotations

from images.agent.home import FUNCTIONS
from images.agent.netstyle import enable
from images.agent.rootfs import Root

SCRIPT = "/usr/local/lib/bootsrv/room"
UNIT = "bootsrv-room.service"

UNIT_TEXT = f"""\
[Unit]
Description=Tell bootsrv how full this machine's write layer is
After=network.target
ConditionPathExists=/run/bootsrv

[Service]
Type=simple
ExecStart=/bin/sh {SCRIPT}
Restart=on-failure
RestartSec=60

[Install]
WantedBy=multi-user.target
"""

SCRIPT_TEXT = (
    r"""#!/bin/sh
# Tells bootsrv how full the write layer of this diskless machine is, when that has changed by a twentieth.
"""
    + FUNCTIONS
    + r"""url=${url%/home}/room
layer=/run/bootsrv/memory
[ -d /run/bootsrv/kept ] && layer=/run/bootsrv/kept

told=-100 full=''
while :; do
    # 1024-byte blocks, used, available: POSIX df -P
    { read -r _; read -r _ size used free _; } <<END
$(df -kP "$layer")
END
    step=$((used * 20 / (used + free + 1)))
    if [ "$free" -lt 1024 ] || [ $((free * 50)) -lt "$size" ]; then
        if [ -z "$full" ]; then
            full=1 told=-100
            text="the write layer is full ($((used / 1024)) MiB): what is written now fails; remove something"
            echo "<2>bootsrv: $text" >/dev/kmsg
            command -v wall >/dev/null 2>&1 && wall "bootsrv: $text" 2>/dev/null
        fi
    else
        full=''
    fi
    if [ "$step" -ne "$told" ]; then
        send "used=$used&size=$((used + free))&full=$full" 2>/dev/null && told=$step
    fi
    sleep 20
done
"""
)


def install(root: Root) -> None:
    """Script and unit; nothing where systemd does not start it."""
    if root.exists("/usr/lib/systemd/systemd") or root.exists("/lib/systemd/systemd"):
        root.write(SCRIPT, SCRIPT_TEXT, 0o755)
        root.write(f"/etc/systemd/system/{UNIT}", UNIT_TEXT, 0o644)
        enable(root, UNIT)
