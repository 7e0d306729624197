"""Bounds that keep one HTTP client from hurting the others."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes and seconds."""

    node_body: int = 4 * 1024 * 1024  # one call of the node API
    sending: float = 30.0  # a body of a call, or the next piece of a large upload
    longest_wait: float = 60.0  # a long poll
    making: float = 12.0  # for something that is made when it is asked for; then "ask again"
    idle: float = 75.0  # a keep-alive connection without a request
    stalled: float = 300.0  # a transfer whose client takes nothing, or is gone without a word
    backlog: int = 4096  # connections that wait to be accepted: a whole rack is switched on at once
    farewell: float = 2.0  # what runs gets this long to end when the server stops
