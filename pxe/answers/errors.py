"""What is wrong with an answer file: findings that point at the profile's field and the rendered line."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a validator or a renderer has to say. `line` counts from 1; 0: the whole file."""

    text: str
    field: str = ""  # of the profile, "network[0].vlan"; empty when only the line is known
    line: int = 0
    warning: bool = False
    layer: str = ""  # that the field's value comes from, where a profile is made of layers

    def __str__(self) -> str:
        where = ": ".join(part for part in (self.field, f"line {self.line}" if self.line else "") if part)
        return f"{where}: {self.text}" if where else self.text


class Unfit(Exception):
    """A profile that cannot be written for its target; nothing was written. All findings are collected."""

    def __init__(self, findings: list[Finding]) -> None:
        super().__init__("; ".join(map(str, findings)))
        self.findings = findings
