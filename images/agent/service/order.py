"""What the server may order, and what a machine has to see before it obeys.

An order is signed by the key that images are signed by, for the holder of one token (so for one imaging of
one machine), and has a number: whatever is not higher than the last one that was taken is an old one. No
secret is in it: what the machine fetches, it fetches with its own token. No IO. Python 3.8, standard library
only.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Any, Dict, Mapping, NamedTuple

from images.agent.sealed import opened, seal
from images.errors import BadInput

LABEL = b"bootsrv order 1\0"
COMMANDS = ("update", "drift")  # of the one-file agent
_RING = b"bootsrv ring 1\0"
_HASH = re.compile(r"[0-9a-f]{64}\Z")


class Order(NamedTuple):
    """Run `command` of the agent whose sha256 is `agent`, with `task`."""

    number: int
    command: str
    agent: str
    task: Dict[str, Any]


def sealed(order: Order, held: bytes, private: bytes) -> Dict[str, str]:
    """The server's side. `held`: `sealed.holder` of the machine's token."""
    return seal(order._asdict(), held, private, LABEL)


def accepted(answer: Mapping[str, Any], token: str, public: bytes, last: int) -> Order:
    """The machine's side; `last` is the number of the last order that was taken. Raises SignatureInvalid,
    BadInput."""
    row = opened(answer, token, public, LABEL)
    number, command, agent, task = (row.get(name) for name in Order._fields)
    if not isinstance(number, int) or isinstance(number, bool) or not isinstance(task, dict):
        raise BadInput("the order has no number or no task")
    if number == last:
        raise BadInput(
            "the agent was started again while it worked; push again: what was begun is completed or undone"
        )
    if number < last:
        raise BadInput(f"order {number} is an old one: {last} was taken already")
    if command not in COMMANDS:
        raise BadInput(f"order {number}: {command!r} is none of {', '.join(COMMANDS)}")
    if not isinstance(agent, str) or not _HASH.match(agent):
        raise BadInput(f"order {number} does not say which agent is meant")
    return Order(number, str(command), agent, task)


def is_agent(script: bytes, order: Order) -> None:
    """Returns when this is the agent that the order means. Raises BadInput."""
    if not hmac.compare_digest(hashlib.sha256(script).hexdigest(), order.agent):
        raise BadInput(
            "the server gave another agent than the one that the order names: was bootsrv upgraded and its"
            " service not restarted?"
        )


def ring(held: bytes) -> bytes:
    """The datagram that wakes a machine's agent: it says nothing, and only who knows `held` can make it."""
    return hashlib.sha256(_RING + held).digest()
