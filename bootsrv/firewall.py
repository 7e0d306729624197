"""Whether a packet filter on this machine is likely to swallow what machines ask us. Best effort, nftables
only."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterable
from typing import Any


def ruleset() -> bytes:
    """nft's rules as JSON; b"" when there is no nft or it may not be asked."""
    if shutil.which("nft") is None:
        return b""
    done = subprocess.run(["nft", "--json", "list", "ruleset"], capture_output=True, timeout=10, check=False)
    return done.stdout if done.returncode == 0 else b""


def blocked(rules: bytes, ports: Iterable[int]) -> tuple[str, list[int]] | None:
    """The input chain that drops what no rule accepts, and the ports no accepting rule speaks of."""
    if not rules.strip():
        return None
    items: list[dict[str, Any]] = json.loads(rules).get("nftables", [])
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
