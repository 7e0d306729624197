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
    return f"https://{address}:{config.http.tls_port}", tls.shown(config)


def callback(config: Config, base: str, token: str) -> dict[str, str]:
    """Where a system calls home, for its imaging: `base` is http://, as the imager reaches us. See
    images.agent.home.Server."""
    row = {"url": f"{base}/node/v1/home", "token": token}
    if config.http.tls_port is None:
        return row
    url, certificate = reach(config, base.removeprefix("http://").rpartition(":")[0])
    pin = tls.pin(certificate)
    return {**row, "secure": f"{url}/node/v1/home", "certificate": certificate, "pin": pin}


def our_interfaces(config: Config) -> list[IPv4Interface]:
    """Our addresses on the listed interfaces with their networks, now."""
    found: list[IPv4Interface] = []
    for name in config.interfaces:
        try:
            found += addresses(name)
        except OSError as error:
            log.warning("interface %s: %s", name, error.strerror or error)
    return found


def machines_url(config: Config, base: str) -> tuple[str, str]:
    """(our URL for a machine on which a person types a line, the key that it has to show there, as curl pins
    it): by HTTPS where that is on, else (`base`, ""). `base` is http://, as that machine reaches us."""
    if config.http.tls_port is None:
        return base, ""
    host = base.partition("://")[2]
    url, certificate = reach(config, host[: host.rindex(":")] if ":" in host.rpartition("]")[2] else host)
    return url, tls.pin(certificate)


def page_url(config: Config) -> str:
    """Where a person finds the page, as far as we can tell."""
    address = listen_on(config)[-1][0]
    host = "127.0.0.1" if address in ("0.0.0.0", "::") else address
    return f"http://{f'[{host}]' if ':' in host else host}:{config.http.port}/"
