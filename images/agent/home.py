"""The little unit in the imaged system that tells the server "I run, from my own disk" at every boot.

POSIX shell, since an image may have nothing else; it speaks HTTP with whatever is there: curl, python3,
bash or wget; HTTPS with curl, python3 or openssl, and then believes the server's own certificate alone. The
token is in a file that only root reads, and reaches no command line where another way exists. Python 3.8,
standard library only.
"""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple

from images.agent.rootfs import Root

CONF = "/etc/bootsrv/home.conf"
CERTIFICATE = "/etc/bootsrv/server.crt"  # the server's own, and no other is believed
KEY = "/etc/bootsrv/server.pub"  # what images and orders are signed by, in hex
SCRIPT = "/usr/local/lib/bootsrv/home"
UNIT = "bootsrv-report.service"

UNIT_TEXT = f"""\
[Unit]
Description=Tell bootsrv that this machine runs from its own disk
After=network.target
ConditionPathExists={CONF}

[Service]
Type=simple
ExecStart=/bin/sh {SCRIPT}
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
NoNewPrivileges=yes

[Install]
WantedBy=multi-user.target
"""


class Server(NamedTuple):
    """Where to call. `url` is http://, `token` opens it; where the server speaks HTTPS, `secure` is https://,
    `certificate` what it shows there (PEM) and `pin` that certificate's key as curl pins it. `key`: see KEY.
    """

    url: str
    token: str
    secure: str = ""
    certificate: str = ""
    pin: str = ""
    key: str = ""


def parse_callback(row: Mapping[str, Any], key: bytes = b"") -> Server:
    """The task's `callback` object."""
    url, token, secure, certificate, pin = (str(row.get(name) or "") for name in Server._fields[:5])
    return Server(url, token, secure, certificate, pin, key.hex())


# What every script of ours on a node can do: read its configuration, and send a form to `url`.
FUNCTIONS = r"""conf=/etc/bootsrv/home.conf
crt=/etc/bootsrv/server.crt
url='' token='' image='' pin=''
while read -r line; do
    value=${line#*=}
    case ${line%%=*} in
    url) url=$value ;;
    token) token=$value ;;
    image) image=$value ;;
    pin) pin=$value ;;
    esac
done <"$conf" || exit 1

encode() {
    text=$1 out=''
    while [ -n "$text" ]; do
        rest=${text#?}
        char=${text%"$rest"}
        case $char in
        [A-Za-z0-9._~-]) out=$out$char ;;
        *) out=$out$(printf '%%%02X' "'$char") ;;
        esac
        text=$rest
    done
    printf %s "$out"
}

by_curl() {
    {
        printf 'url = "%s"\nheader = "Authorization: Bearer %s"\ndata = "%s"\n' "$url" "$token" "$1"
        # not who signed it counts, but that it is this very key
        [ -n "$pin" ] && printf 'insecure\npinnedpubkey = "%s"\n' "$pin"
    } | curl -fsS -m 20 -o /dev/null -K -
}

by_python() {
    BOOTSRV_BODY=$1 BOOTSRV_URL=$url BOOTSRV_CONF=$conf BOOTSRV_CRT=$crt python3 -c '
import os, ssl, urllib.request
context = None
if os.environ["BOOTSRV_URL"].startswith("https:"):
    context = ssl.create_default_context(cafile=os.environ["BOOTSRV_CRT"])
    context.check_hostname = False
    context.verify_flags |= 0x80000
conf = dict(line.rstrip("\n").split("=", 1) for line in open(os.environ["BOOTSRV_CONF"]))
request = urllib.request.Request(os.environ["BOOTSRV_URL"], os.environ["BOOTSRV_BODY"].encode())
request.add_header("Authorization", "Bearer " + conf["token"])
urllib.request.urlopen(request, timeout=20, context=context).read()
'
}

by_bash() {
    BOOTSRV_BODY=$1 BOOTSRV_URL=$url BOOTSRV_TOKEN=$token bash -c '
rest=${BOOTSRV_URL#http://}; host=${rest%%/*}; path=/${rest#*/}; port=${host##*:}
[ "$port" = "$host" ] && port=80
exec 3<>"/dev/tcp/${host%:*}/$port" || exit 1
printf "%s\r\n" "POST $path HTTP/1.0" "Host: $host" "Authorization: Bearer $BOOTSRV_TOKEN" \
    "Content-Type: application/x-www-form-urlencoded" "Content-Length: ${#BOOTSRV_BODY}" "" >&3
printf "%s" "$BOOTSRV_BODY" >&3
read -r -t 20 _ status _ <&3
[ "$status" = 200 ]
'
}

by_wget() {
    wget -q -T 20 -O /dev/null --header "Authorization: Bearer $token" --post-data "$1" "$url"
}

by_openssl() {
    rest=${url#https://} host=${rest%%/*}
    {
        printf '%s\r\n' "POST /${rest#*/} HTTP/1.0" "Host: $host" "Authorization: Bearer $token" \
            "Content-Type: application/x-www-form-urlencoded" "Content-Length: ${#1}" ""
        printf %s "$1"
    } | openssl s_client -quiet -connect "$host" -CAfile "$crt" -partial_chain -verify_return_error |
        { read -r _ status _ && [ "$status" = 200 ]; }
}

send() {
    if command -v curl >/dev/null 2>&1; then by_curl "$1"
    elif command -v python3 >/dev/null 2>&1; then by_python "$1"
    elif [ -n "$pin" ]; then by_openssl "$1"
    elif command -v bash >/dev/null 2>&1; then by_bash "$1"
    else by_wget "$1"
    fi
}

"""

SCRIPT_TEXT = (
    r"""#!/bin/sh
# Tells bootsrv that this machine runs from its own disk. Tries for about half an hour, then gives up until
# the next boot. Configuration: /etc/bootsrv/home.conf (url, token, image; root only).
"""
    + FUNCTIONS
    + r"""facts() {
    read -r uptime _ </proc/uptime
    read -r boot_id </proc/sys/kernel/random/boot_id
    read -r name </proc/sys/kernel/hostname
    read -r kernel </proc/sys/kernel/osrelease
    printf 'hostname=%s&image=%s&boot_id=%s&uptime=%s&kernel=%s' "$(encode "$name")" "$(encode "$image")" \
        "$(encode "$boot_id")" "$(encode "$uptime")" "$(encode "$kernel")"
}

for pause in 1 1 1 2 2 3 5 8 13 21 34 55 60 60 60 60 60 60 120 120 120 120 300 300; do
    send "$(facts)" 2>/dev/null && exit 0
    sleep "$pause"
done
echo "bootsrv: $url did not answer" >&2
exit 1
"""
)

OPENRC_TEXT = f"#!/bin/sh\n/bin/sh {SCRIPT} &\n"


def install(root: Root, server: Server, image: str) -> str:
    """Writes configuration, script and unit; returns how it will be started."""
    root.make_dirs("/etc/bootsrv", 0o700)
    renew(root, server, image)
    root.write(SCRIPT, SCRIPT_TEXT, 0o755)
    if root.exists("/usr/lib/systemd/systemd") or root.exists("/lib/systemd/systemd"):
        from images.agent.netstyle import enable  # only here: an update, which reads alone, starts sooner

        root.write(f"/etc/systemd/system/{UNIT}", UNIT_TEXT, 0o644)
        enable(root, UNIT)
        return "systemd"
    if root.is_dir("/etc/runlevels/default"):
        root.write("/etc/local.d/bootsrv.start", OPENRC_TEXT, 0o755)
        root.link("/etc/runlevels/default/local", "/etc/init.d/local")
        return "openrc"
    if root.exists("/etc/rc.local") and SCRIPT not in root.read_text("/etc/rc.local"):
        lines = [line for line in root.read_text("/etc/rc.local").splitlines() if line.strip() != "exit 0"]
        root.write("/etc/rc.local", "\n".join([*lines, f"/bin/sh {SCRIPT} &", "exit 0", ""]), 0o755)
        return "rc.local"
    return "nothing that could start it"


def renew(root: Root, server: Server, image: str) -> None:
    """Writes where to call and whom to believe there; over HTTPS wherever server and system can."""
    secure = server.secure and speaks_https(root)
    lines = [f"url={server.secure if secure else server.url}", f"token={server.token}", f"image={image}"]
    if secure:
        root.write(CERTIFICATE, server.certificate, 0o644)
        lines.append(f"pin={server.pin}")
    if server.key:
        root.write(KEY, server.key + "\n", 0o644)
    root.write(CONF, "\n".join([*lines, ""]), 0o600)


def read(root: Root) -> Mapping[str, str]:
    """What the configuration says: `url`, `token`, `image`, and `pin` where it is https."""
    return dict(line.split("=", 1) for line in root.read_text(CONF).splitlines() if "=" in line)


def speaks_https(root: Root) -> bool:
    """Whether this system has something that can be told to believe one certificate alone."""
    return any(root.exists(f"/usr/bin/{name}") for name in ("curl", "python3", "openssl"))
