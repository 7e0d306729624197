"""What would go wrong with install trees and package archives: checks of `bootsrv doctor` (see
`preflight`)."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit
from urllib.request import getproxies

from bootsrv.config import Config
from bootsrv.finding import Finding, Level
from bootsrv.mirrors.local import LocalMirrors
from bootsrv.trees.shelf import Shelf

_PATIENCE = 3.0  # seconds that an archive's server gets


def trees_whole(config: Config) -> Iterator[Finding]:
    """Each tree can be read, and has what it boots. Its contents are for `bootsrv tree verify`."""
    shelf = Shelf(config.trees_dir)
    found, wrong = shelf.records()
    for line in wrong:
        yield Finding(Level.WARNING, line, "import that tree again with --replace")
    for tree in found:
        boot = (tree.facts.kernel, *tree.facts.initrds)
        gone = [name for name in boot if not (shelf.directory(tree.name) / name).is_file()]
        if gone:
            what = f"tree {tree.name} has lost {', '.join(gone)}"
            yield Finding(Level.WARNING, what, f"bootsrv tree import ... --name {tree.name} --replace")


def archives_distinct(config: Config) -> Iterator[Finding]:
    """No archive is both cached and filled here."""
    for name in LocalMirrors(config.mirrors_dir).names():
        if name in config.mirrors:
            yield Finding(
                Level.WARNING,
                f"archive {name} was filled here, so [mirrors.{name}] of the configuration is never asked",
                f"rename that section, or bootsrv mirror remove {name} once the section is out",
            )


def cache_fits(config: Config) -> Iterator[Finding]:
    """The disk can hold what the cache may take."""
    if not config.mirrors or not config.cache_dir.is_dir():
        return
    have = shutil.disk_usage(config.cache_dir).total
    if config.cache.bytes > have:
        yield Finding(
            Level.WARNING,
            f"the package cache may take {config.cache.size}, and its disk has {have / 2**30:.0f} GiB",
            "set [cache] size to less",
        )


def archives_answer(config: Config) -> Iterator[Finding]:
    """The servers of cached archives can be reached. Takes up to three seconds for each that cannot."""
    for name, mirror in config.mirrors.items():
        for url in mirror.upstreams:
            parts = urlsplit(mirror.proxy or getproxies().get(urlsplit(url).scheme) or url)
            port = parts.port or (443 if parts.scheme == "https" else 80)
            try:
                socket.create_connection((parts.hostname or "", port), _PATIENCE).close()
            except OSError as error:
                why = error.strerror or error
                yield Finding(
                    Level.WARNING,
                    f"archive {name}: {parts.hostname} port {port} cannot be reached: {why}",
                    "what is cached is still served; look at the address, the network, or set `proxy`",
                )
