"""The appliance as its callers hold it: one object, the verbs under their nouns.

    appliance.nodes     add, adopt, add_range, set, remove, list, show     (appliance/nodes.py)
    appliance.groups    list, set_options                                  (appliance/groups.py)
    appliance.identities  of, set                                          (appliance/identities.py)
    appliance.leases    list, release                                      (appliance/leases.py)
    appliance.roster    page, unknown, waiting, tally                      (appliance/roster.py)
    appliance.deploys   reimage, retry, cancel                             (appliance/deploys.py)
    appliance.roots       move, leave, apply                               (appliance/roots.py)
    appliance.installs  install, answers                                   (appliance/installs.py)
    appliance.exports   list, show                                         (appliance/exports.py)
    appliance.images    list, show, resolve, import, tag, remove, gc ...   (appliance/images.py)
    appliance.captures  token, live, offline, result                       (appliance/captures.py)
    appliance.pushes    plan, push, drift                                  (appliance/push.py)
    appliance.powers    act, set_door                                      (appliance/powers.py)
    appliance.trees     import_, readable, show, verify, remove            (appliance/trees.py)
    appliance.profiles  list, get, history, save, remove, render, preview  (appliance/profiles.py)
    appliance.mirrors   fill, listing, show, remove                        (appliance/mirrors.py)
    appliance.watch     explain, timeline, events, log                     (appliance/watch.py)
    appliance.users     check, set_password, api tokens                    (appliance/users.py)

Safe to share between threads. Verbs raise Invalid, NotFound, Conflict for what a person got wrong; OSError
for the rest.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from bootsrv.appliance.captures import Captures
from bootsrv.appliance.deploys import Deploys
from bootsrv.appliance.exports import Exports
from bootsrv.appliance.groups import Groups
from bootsrv.appliance.identities import Identities
from bootsrv.appliance.images import Images
from bootsrv.appliance.leases import Leases
from bootsrv.appliance.mirrors import Mirrors
from bootsrv.appliance.nodes import Nodes
from bootsrv.appliance.powers import Powers
from bootsrv.appliance.push import Pushes
from bootsrv.appliance.roots import Roots
from bootsrv.appliance.roster import Roster
from bootsrv.appliance.trees import Trees
from bootsrv.appliance.users import Users
from bootsrv.appliance.watch import Watch
from bootsrv.config import Config
from bootsrv.registry.registry import Registry

if TYPE_CHECKING:
    from bootsrv.appliance.installs import Installs
    from bootsrv.appliance.profiles import Profiles


class Appliance:
    """All verbs. `clock` gives epoch seconds."""

    def __init__(self, config: Config, registry: Registry, clock: Callable[[], float] = time.time) -> None:
        self.config = config
        self.registry = registry
        self._clock = clock
        self.images = Images(config, registry)
        self.deploys = Deploys(config, registry, self.images, clock)
        self.exports = Exports(config, registry, self.images)
        self.nodes = Nodes(config, registry, self.images, clock)
        self.groups = Groups(registry, self.images)
        self.leases = Leases(registry, clock)
        self.identities = Identities(registry, clock)
        self.roster = Roster(registry)
        self.pushes = Pushes(config, registry, self.images, clock)
        self.powers = Powers(config, registry, self.pushes.remote, clock)
        self.roots = Roots(config, registry, self.images, clock, self.pushes.remote)
        self.captures = Captures(registry, self.images, clock, self.pushes, config)
        self.trees = Trees(config, clock)
        self.mirrors = Mirrors(config, self.trees, clock)
        self.watch = Watch(config, registry, clock)
        self.users = Users(registry, clock)

    @cached_property
    def profiles(self) -> Profiles:
        """Made when first used: templates, schemas and parsers take a while to load."""
        from bootsrv.appliance.profiles import Profiles

        return Profiles(self.config, self.registry, self._clock)

    @cached_property
    def installs(self) -> Installs:
        """Made when first used, as the profiles are."""
        from bootsrv.appliance.installs import Installs

        return Installs(self.config, self.registry, self.profiles, self._clock)

    @classmethod
    def open(cls, config: Config) -> Appliance:
        """With the registry of this configuration, made if there is none. Raises OSError."""
        return cls(config, Registry.open(config.registry_file))

    def close(self) -> None:
        """Close what this thread has opened, and what all of them share."""
        if "profiles" in self.__dict__:
            self.profiles.close()
        self.registry.close()
