"""What bootsrv makes of Kea settings that it does not take over: one sentence each. Facts of Kea's manual.

A setting in neither table is "not understood", which the reader then notes as lost.
"""

from __future__ import annotations

_OWN_WAY = "bootsrv does this its own way"
_CLASSES = "classes are not taken over"

# Nothing is missing without these.
HARMLESS: dict[str, str] = {
    **dict.fromkeys(
        (
            "control-socket", "control-sockets", "lease-database", "hosts-database", "hosts-databases",
            "loggers", "Logging", "expired-leases-processing", "multi-threading", "sanity-checks",
            "dhcp-queue-control", "host-reservation-identifiers", "reservations-global",
            "reservations-in-subnet", "id", "pool-id", "reservations-out-of-pool", "reservation-mode",
            "reservations-lookup-first", "calculate-tee-times", "t1-percent", "t2-percent",
            "cache-threshold", "cache-max-age", "store-extended-info", "match-client-id", "echo-client-id",
            "decline-probation-period", "statistic-default-sample-count", "statistic-default-sample-age",
            "parked-packet-limit", "allocator", "server-tag", "config-control",
            "allow-address-registration", "early-global-reservations-lookup", "ip-reservations-unique",
            "compatibility", "offer-lifetime", "stash-agent-options", "hostname-char-set",
            "hostname-char-replacement", "dhcp4o6-port", "data-directory",
        ),
        _OWN_WAY,
    ),
    **dict.fromkeys(
        (
            "dhcp-ddns", "ddns-send-updates", "ddns-override-no-update", "ddns-override-client-update",
            "ddns-replace-client-name", "ddns-generated-prefix", "ddns-qualifying-suffix", "ddns-ttl",
            "ddns-update-on-renew", "ddns-use-conflict-resolution", "ddns-conflict-resolution-mode",
            "ddns-ttl-percent", "ddns-ttl-min", "ddns-ttl-max", "DhcpDdns",
        ),
        "bootsrv answers DNS from its registry and leases; no updates are needed",
    ),
    **dict.fromkeys(
        ("min-valid-lifetime", "max-valid-lifetime", "renew-timer", "rebind-timer"),
        "every lease has the one length of its subnet, and the usual timers",
    ),
    **dict.fromkeys(("comment", "user-context"), "a remark"),
    "authoritative": 'say mode = "authoritative" per subnet',
}  # fmt: skip

# Kea did something here that bootsrv will not do.
REFUSED: dict[str, str] = {
    **dict.fromkeys(
        (
            "client-classes", "client-class", "require-client-classes", "only-if-required", "template-test",
            "evaluate-additional-classes", "never-send",
        ),
        _CLASSES,
    ),
    **dict.fromkeys(
        ("duid", "flex-id"),
        "not taken over; what there is says `bootsrv node set --identity`",
    ),
    **dict.fromkeys(
        ("4o6-interface", "4o6-interface-id", "4o6-subnet", "Dhcp6", "subnet6"), "IPv6 is not taken over"
    ),
    "Control-agent": "there is no control agent; use the HTTP API",
    "hooks-libraries": "hooks are not taken over",
    "relay": "relays are found by themselves, by the subnet their address lies in",
    "always-send": "options go to clients that ask for them",
}  # fmt: skip
