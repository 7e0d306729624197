"""All that one machine's installer is given: the answer files, and the kernel's arguments.

The answers are those of the node's profile with our own steps in them, checked like every other; the tree
says what starts. The law: what is not good for its reader is not given to a machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from bootsrv.appliance.profiles import Profiles
from bootsrv.config import Config
from bootsrv.errors import Invalid, Needed
from bootsrv.installs.steps import Callbacks, with_callbacks
from bootsrv.model import InstallOrder, Node
from bootsrv.trees.record import TreeRecord
from bootsrv.trees.shelf import Shelf
from pxe.answers.cloud.autoinstall import as_cloud_config
from pxe.answers.cloud.nocloud import meta_data
from pxe.answers.errors import Finding
from pxe.answers.start import Start, answer_names, arguments
from pxe.answers.targets import Dialect, Target, find_target
from pxe.trees.facts import Installer, TreeFacts

DUMMY = "x" * 43  # as long as a token
CHECK_BASE = "http://192.0.2.1:8080"  # RFC 5737: stands in for our address while there is none


@dataclass(frozen=True, slots=True)
class Boot:
    """One armed boot: which card, our URL as the machine sees it, its tokens. `instance` names the arming."""

    mac: str
    base: str
    token: str
    home_token: str
    instance: str

    @property
    def answers(self) -> str:
        """Where its files are."""
        return f"{self.base}/install/{self.token}/"


@dataclass(frozen=True, slots=True)
class Made:
    """The answer files by name, the kernel's arguments, and what the files' reader says of them."""

    files: Mapping[str, bytes]
    line: str
    findings: tuple[Finding, ...]
    facts: TreeFacts

    @property
    def good(self) -> bool:
        return not any(not one.warning for one in self.findings)

    def complaints(self) -> str:
        """What is wrong, in one line: each field with the line that it became."""
        return "; ".join(str(one) for one in self.findings if not one.warning)


class Making:
    """Brings profiles and trees together."""

    def __init__(self, config: Config, profiles: Profiles, trees: Shelf) -> None:
        self._config, self._profiles, self._trees = config, profiles, trees

    def order(self, node: Node, profile: str | None, tree: str | None) -> InstallOrder:
        """What to install where only some of it was said. Raises Invalid, NotFound."""
        name = profile or node.answers
        if name is None:
            raise Needed(f"{node.name} has no profile", "profile")
        if tree is not None:
            return InstallOrder(name, self._trees.get(tree).name)
        target = self._profiles.stack(node, name).target
        known = [one for one in self._trees.records()[0] if _same(one.facts.target, target)]
        found = [one.name for one in known if not one.facts.note] or [one.name for one in known]
        if len(found) == 1:
            return InstallOrder(name, found[0])
        if not found:
            raise Invalid(f"there is no tree of {target.name}: `bootsrv tree import` one")
        raise Needed(f"{', '.join(found)} are all {target.name}", "tree")

    def probe(self, node: Node, order: InstallOrder) -> Made:
        """With stand-ins for all that only a boot decides. Raises NotFound, Invalid."""
        return self.make(node, order, Boot(node.macs[0] if node.macs else "", CHECK_BASE, DUMMY, DUMMY, ""))

    def make(self, node: Node, order: InstallOrder, boot: Boot) -> Made:
        """For this boot. Raises NotFound; Invalid for a profile and a tree that do not fit."""
        tree = self._trees.get(order.tree)
        calls = Callbacks(f"{boot.answers}tell/", f"{boot.base}/node/v1/home", boot.home_token)
        server = "" if boot.base == CHECK_BASE else boot.base.removeprefix("http://").rpartition(":")[0]
        done = self._profiles.render(
            node, order.profile, True, lambda profile, goal: with_callbacks(profile, goal, calls), server
        )
        if done.profile is None or done.target is None or not done.good:
            return Made({}, "", done.rendered.findings, tree.facts)
        _fits(done.target, tree)
        text = done.rendered.text
        if done.target.dialect is Dialect.AUTOINSTALL:
            text = _reporting(text, f"{calls.tell}report")
        try:
            line = arguments(self._start(node, tree, boot), done.profile, done.target)
        except ValueError as error:
            raise Invalid(f"{node.name}: {error}") from error
        files = dict.fromkeys(answer_names(tree.facts.installer), b"")
        if done.target.dialect is Dialect.AUTOINSTALL:
            files["meta-data"] = meta_data(boot.instance, node.name or boot.mac).encode()
        files[next(iter(files))] = text.encode()
        return Made(files, line, done.rendered.findings, tree.facts)

    def _start(self, node: Node, tree: TreeRecord, boot: Boot) -> Start:
        url, syslog = f"{boot.base}{tree.place}", self._config.syslog
        host = boot.base.removeprefix("http://").rpartition(":")[0]
        return Start(
            facts=tree.facts, tree=url, answers=boot.answers, mac=boot.mac,
            iso=f"{url}{tree.iso}" if tree.iso else "", log=f"{host}:{syslog.port}" if syslog.enabled else "",
            console=self._config.imager.console, disk=node.disk or "",
        )  # fmt: skip


def _fits(goal: Target, tree: TreeRecord) -> None:
    """Raises Invalid where the tree's installer would not read these answers."""
    takes = tree.facts.installer
    if takes is Installer.NONE or tree.facts.note:  # such as a CD's initrd, which would ask for the CD
        raise Invalid(f"tree {tree.name}: {tree.facts.note or 'it has no installer that takes answers'}")
    if takes.value != goal.dialect.value:
        raise Invalid(f"tree {tree.name} takes {takes.value}; the profile is for {goal.name}: {goal.dialect}")
    if not _same(tree.facts.target, goal):
        raise Invalid(f"tree {tree.name} is {tree.facts.target}; the profile is for {goal.name}")


def _same(target: str, goal: Target) -> bool:
    """Whether a tree's target is what the answers are for; `rocky9` is `rhel9`."""
    if not target:
        return True
    found = find_target(target)
    return (found.line, found.version, found.dialect) == (goal.line, goal.version, goal.dialect)


def _reporting(text: str, url: str) -> str:
    """Ubuntu's installer tells each of its steps to a webhook."""
    values: dict[str, Any] = yaml.safe_load(text)
    values["autoinstall"]["reporting"] = {"bootsrv": {"type": "webhook", "endpoint": url}}
    return as_cloud_config(values)
