"""What bootsrv makes of ISC statements that it does not take over: one sentence each. Facts of dhcpd.conf(5).

A statement in neither table is "not understood", which the reader then notes as lost.
"""

from __future__ import annotations

_OWN_WAY = "bootsrv does this its own way"
_DNS = "bootsrv answers DNS from its registry and leases; no updates are needed"

# Nothing is missing without these.
HARMLESS: dict[str, str] = {
    "authoritative": 'say mode = "authoritative" per subnet',
    "ddns-update-style": _DNS,
    "ddns-updates": _DNS,
    "ddns-domainname": _DNS,
    "ddns-rev-domainname": _DNS,
    "ddns-hostname": _DNS,
    "ddns-ttl": _DNS,
    "ddns-local-address4": _DNS,
    "ddns-update-on-lease": _DNS,
    "do-forward-updates": _DNS,
    "update-static-leases": _DNS,
    "update-optimization": _DNS,
    "update-conflict-detection": _DNS,
    "do-reverse-updates": _DNS,
    "log-facility": "the log goes to standard error",
    "lease-file-name": _OWN_WAY,
    "pid-file-name": _OWN_WAY,
    "delayed-ack": _OWN_WAY,
    "max-ack-delay": _OWN_WAY,
    "db-time-format": _OWN_WAY,
    "dhcp-cache-threshold": _OWN_WAY,
    "adaptive-lease-time-threshold": _OWN_WAY,
    "abandon-lease-time": _OWN_WAY,
    "echo-client-id": "the client identifier is always echoed (RFC 6842)",
    "ping-check": _OWN_WAY,
    "ping-timeout": _OWN_WAY,
    "ping-timeout-ms": _OWN_WAY,
    "ping-cltt-secs": _OWN_WAY,
    "one-lease-per-client": _OWN_WAY,
    "use-host-decl-names": "the node's name is always its host name",
    "get-lease-hostnames": "the node's name is always its host name",
    "stash-agent-options": _OWN_WAY,
    "site-option-space": "option spaces are not used",
    "always-reply-rfc1048": _OWN_WAY,
    "dynamic": "no mark is needed",
}

# The old server did something here that bootsrv will not do.
REFUSED: dict[str, str] = {
    "include": "other files are not read: import that file as well",
    "omapi-port": "there is no OMAPI; use the HTTP API",
    "omapi-key": "there is no OMAPI; use the HTTP API",
    "failover": "there is no failover",
    "class": "classes are not taken over",
    "subclass": "classes are not taken over",
    "spawn": "classes are not taken over",
    "match": "classes are not taken over",
    "lease": "classes are not taken over",
    "if": "conditions are not taken over",
    "elsif": "conditions are not taken over",
    "else": "conditions are not taken over",
    "switch": "conditions are not taken over",
    "on": "scripts on events are not taken over",
    "execute": "scripts on events are not taken over",
    "set": "variables are not taken over",
    "log": "log statements are not taken over",
    "key": "keys for DNS updates are not needed",
    "zone": "zones for DNS updates are not needed",
    "subnet6": "IPv6 is not taken over",
    "range6": "IPv6 is not taken over",
    "prefix6": "IPv6 is not taken over",
    "fixed-address6": "IPv6 is not taken over",
    "fixed-prefix6": "IPv6 is not taken over",
    "server-duid": "IPv6 is not taken over",
    "dhcpv6-lease-file-name": "IPv6 is not taken over",
    "local-port": "ports are set with [dhcp] port",
    "remote-port": "clients always listen on port 68",
    "local-address": "say interfaces = [...] instead",
    "server-identifier": "bootsrv names itself by its address on the client's network",
    "always-broadcast": "answers follow the client's broadcast flag",
    "min-secs": "every request is answered at once",
    "min-lease-time": "there is one lease time per subnet",
    "dynamic-bootp-lease-cutoff": "BOOTP clients keep an address for ever",
    "dynamic-bootp-lease-length": "BOOTP clients keep an address for ever",
    "vendor-option-space": "option spaces are not taken over; set vendor-encapsulated-options in hex",
    "supersede": "only plain options are taken over",
    "default": "only plain options are taken over",
    "prepend": "only plain options are taken over",
    "append": "only plain options are taken over",
    "send": "only plain options are taken over",
}

# What `allow`, `deny` and `ignore` may speak of without any effect for us.
PERMISSIONS_HARMLESS = frozenset({"client-updates", "duplicates", "declines", "leasequery"})
