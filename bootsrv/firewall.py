"""Whether a packet filter on this machine is likely to swallow what machines ask us. Best effort, nftables
only."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterable
from typing import Any

from bootsrv.errors import BootsrvError

PATIENCE = 10.0  # seconds


class Unreadable(BootsrvError):
    """There are rules, and what they are cannot be told."""


def ruleset() -> bytes:
    """nft's rules as JSON; b"" when there is no nft or it may not be asked. Raises Unreadable."""
    if shutil.which("nft") is None:
        return b""
    command = ["nft", "--json", "list", "ruleset"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired as error:
        raise Unreadable(f"nft did not answer within {PATIENCE:g} s") from error
    return done.stdout if done.returncode == 0 else b""


def blocked(rules: bytes, ports: Iterable[int]) -> tuple[str, list[int]] | None:
    """The input chain that drops what no rule accepts, and the ports no accepting rule speaks of. Raises
    Unreadable."""
    if not rules.strip():
        return None
    try:
        return _blocked(json.loads(rules)["nftables"], ports)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise Unreadable(f"nft's answer is not understood ({type(error).__name__}: {error})") from error


def _blocked(items: list[dict[str, Any]], ports: Iterable[int]) -> tuple[str, list[int]] | None:
    chains = [item["chain"] for item in items if "chain" in item]
    dropping = [chain for chain in chains if chain.get("hook") == "input" and chain.get("policy") == "drop"]
    if not dropping:
        return None
    accepted = _accepted(items)
    missing = sorted({port for port in ports if not any(low <= port <= high for low, high in accepted)})
    where = dropping[0]
    return (f"{where['family']} {where['table']} {where['name']}", missing) if missing else None


def _accepted(items: list[dict[str, Any]]) -> list[tuple[int, int]]:
    """Ranges of destination ports that some accepting rule names; everything, if a rule names an interface
    only."""
    found: list[tuple[int, int]] = []
    for item in items:
        expressions = item.get("rule", {}).get("expr", [])
        if not any("accept" in expression for expression in expressions):
            continue
        matches = [expression["match"] for expression in expressions if "match" in expression]
        named = [match for match in matches if _is_port(match)]
        found += [pair for match in named for pair in _ports(match.get("right"))]
        if not named and _is_interface(matches):
            found.append((0, 65535))
    return found


def _is_port(match: dict[str, Any]) -> bool:
    left = match.get("left")
    return isinstance(left, dict) and left.get("payload", {}).get("field") == "dport"


def _is_interface(matches: list[dict[str, Any]]) -> bool:
    keys = [
        match.get("left", {}).get("meta", {}).get("key")
        for match in matches
        if isinstance(match["left"], dict)
    ]
    rights = [match.get("right") for match in matches]
    return bool(keys) and all(key in ("iif", "iifname") for key in keys) and "lo" not in rights


def _ports(right: object) -> list[tuple[int, int]]:
    if isinstance(right, int):
        return [(right, right)]
    if isinstance(right, dict) and "range" in right:
        return [(right["range"][0], right["range"][1])]
    if isinstance(right, dict) and "set" in right:
        return [pair for item in right["set"] for pair in _ports(item)]
    return []
