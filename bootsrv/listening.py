"""Where HTTP and NBD listen: only what the configuration names, HTTP on this machine itself as well."""

from __future__ import annotations

import logging
from ipaddress import IPv4Interface

from bootsrv import tls
from bootsrv.config import Config
from pxe.dhcp.interfaces import addresses

log = logging.getLogger(__name__)


def listen_on(config: Config) -> list[tuple[str, int]]:
    """(address, port) pairs: the address that is set, else this machine and the listed interfaces, nowhere
    else."""
    if config.http.address is not None:
        return [(config.http.address, config.http.port)]
    found = ["127.0.0.1", *_own_addresses(config)]
    return [(address, config.http.port) for address in dict.fromkeys(found)]


def nbd_listens_on(config: Config) -> list[tuple[str, int]]:
    """(address, port) pairs on the listed interfaces: roots are for nodes, and this machine is none."""
    return [(address, config.nbd.port) for address in dict.fromkeys(_own_addresses(config))]


def _own_addresses(config: Config) -> list[str]:
    found: list[str] = []
    for name in config.interfaces:
        try:
            found += [str(address.ip) for address in addresses(name)]
        except OSError as error:
            log.debug("interface %s: %s", name, error.strerror or error)  # preflight has said it
    return found


def listen_securely(config: Config) -> list[tuple[str, int]]:
    """The same places for HTTPS; none where no port was given for it."""
    port = config.http.tls_port
    return [(address, port) for address, _ in listen_on(config)] if port is not None else []


def reach(config: Config, address: str) -> tuple[str, str]:
    """(our URL at one of our addresses, the certificate that we show there as PEM) for a machine that we are
    logged in to: by HTTPS where that is on, else ("http://...", "").
    """
    if config.http.tls_port is None:
        return f"http://{address}:{config.http.port}", ""
    certificate, _ = tls.files(config)
    return f"https://{address}:{config.http.tls_port}", certificate.read_text("ascii")


def our_interfaces(config: Config) -> list[IPv4Interface]:
    """Our addresses on the listed interfaces with their networks, now."""
    found: list[IPv4Interface] = []
    for name in config.interfaces:
        try:
            found += addresses(name)
        except OSError as error:
            log.warning("interface %s: %s", name, error.strerror or error)
    return found


def page_url(config: Config) -> str:
    """Where a person finds the page, as far as we can tell."""
    address = listen_on(config)[-1][0]
    host = "127.0.0.1" if address in ("0.0.0.0", "::") else address
    return f"http://{f'[{host}]' if ':' in host else host}:{config.http.port}/"
