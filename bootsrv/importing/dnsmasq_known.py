"""What bootsrv makes of dnsmasq settings that it does not take over: one sentence each. Facts of dnsmasq(8).

A setting in neither table is "not understood", which the reader then notes as lost.
"""

from __future__ import annotations

_OWN_WAY = "bootsrv does this its own way"

# Nothing is missing without these.
HARMLESS: dict[str, str] = {
    **dict.fromkeys(
        (
            "user", "group", "pid-file", "keep-in-foreground", "no-daemon", "log-facility", "log-async",
            "dhcp-leasefile", "leasefile-ro", "dhcp-lease-max", "dhcp-sequential-ip", "no-ping", "log-dhcp",
            "quiet-dhcp", "bind-interfaces", "bind-dynamic", "dhcp-fqdn", "no-hosts", "no-resolv",
            "no-poll", "resolv-file", "cache-size", "domain-needed", "bogus-priv", "expand-hosts", "local",
            "log-queries", "strict-order", "all-servers", "stop-dns-rebind", "localise-queries",
            "filterwin2k", "neg-ttl", "local-ttl", "dhcp-ttl", "edns-packet-max", "dns-forward-max",
            "query-port", "tftp-max", "tftp-lowercase", "tftp-no-blocksize", "tftp-port-range",
            "tftp-single-port", "tftp-mtu", "tftp-no-fail", "dhcp-no-override", "rebind-localhost-ok",
            "tftp-secure", "dns-loop-detect", "clear-on-reload", "no-negcache", "quiet-ra", "log-debug",
            "dhcp-rapid-commit", "quiet-tftp",
        ),
        _OWN_WAY,
    ),
    "dhcp-authoritative": 'say mode = "authoritative" per subnet',
    "enable-tftp": "bootsrv serves its loaders and data_dir/public by TFTP",
    "except-interface": "only the interfaces that are listed are answered",
    "no-dhcp-interface": "only the interfaces that are listed are answered",
}  # fmt: skip

_FILES = "other files are not read: import that file as well"
_DNS = "other DNS names are not taken over"
_TAGS = "tags by what a client says are not taken over"

# dnsmasq did something here that bootsrv will not do.
REFUSED: dict[str, str] = {
    **dict.fromkeys(
        (
            "conf-file", "conf-dir", "dhcp-hostsfile", "dhcp-hostsdir", "dhcp-optsfile", "dhcp-optsdir",
            "addn-hosts", "hostsdir", "read-ethers", "servers-file", "conf-script",
        ),
        _FILES,
    ),
    **dict.fromkeys(
        (
            "address", "cname", "host-record", "srv-host", "txt-record", "ptr-record", "mx-host", "mx-target",
            "naptr-record", "caa-record", "dns-rr", "alias", "interface-name", "auth-zone", "auth-server",
            "synth-domain", "dynamic-host", "selfmx", "localmx", "bogus-nxdomain", "ipset", "nftset",
            "rev-server", "rebind-domain-ok", "dnssec", "trust-anchor", "add-mac", "add-subnet",
        ),
        _DNS,
    ),
    **dict.fromkeys(
        (
            "dhcp-mac", "dhcp-vendorclass", "dhcp-userclass", "dhcp-match", "dhcp-circuitid", "dhcp-remoteid",
            "dhcp-subscrid", "tag-if", "bootp-dynamic", "dhcp-ignore-names", "dhcp-generate-names",
            "dhcp-duid", "dhcp-pxe-vendor", "dhcp-ignore-clid", "dhcp-name-match", "dhcp-broadcast",
        ),
        _TAGS,
    ),
    "server": "set [dns] forward instead",
    "port": "set [dns] port instead",
    "listen-address": "say interfaces = [...] instead",
    "dhcp-script": "scripts on events are not taken over",
    "dhcp-luascript": "scripts on events are not taken over",
    "dhcp-scriptuser": "scripts on events are not taken over",
    "dhcp-proxy": "relays are found by themselves",
    "dhcp-relay": "bootsrv is no relay",
    "dhcp-alternate-port": "set [dhcp] port instead",
    "bridge-interface": "list the interfaces themselves",
    "shared-network": "give the subnets one name with shared = ...",
    "enable-ra": "IPv6 is not taken over",
    "ra-param": "IPv6 is not taken over",
    "tftp-unique-root": "one directory per client is not offered",
    "tftp-root": "copy the files into data_dir/public",
    "pxe-prompt": "boot menus are not taken over",
    "pxe-service": "boot menus are not taken over",
    "dhcp-reply-delay": "every request is answered at once",
}  # fmt: skip
