"""How numbers and states read to a person; the template filters.

Sizes are bytes in binary steps (as `ls -h` and disks' own tools say them), times are seconds since the
epoch, and spans are seconds. Everything here is pure: `now` is an argument, nothing is looked up.
"""

from __future__ import annotations

from datetime import UTC, datetime

from bootsrv.model import AddressMethod, Node, NodeState

UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")

STATES: dict[NodeState, tuple[str, str]] = {
    NodeState.DISCOVERED: ("Unknown", "Seen on the network, not registered"),
    NodeState.REGISTERED: ("Registered", "Has a name; boots its own disk"),
    NodeState.ARMED: ("Armed", "Will be imaged at its next boot"),
    NodeState.IMAGING: ("Imaging", "The image is being written to its disk"),
    NodeState.INSTALLED: ("Installed", "Imaged; has not called home yet"),
    NodeState.RUNNING: ("Running", "Called home"),
    NodeState.FAILED: ("Failed", "Imaging stopped with an error; waits for a retry"),
}

METHODS: dict[AddressMethod, tuple[str, str]] = {
    AddressMethod.RESERVED: ("Reserved", "DHCP, always this address"),
    AddressMethod.DYNAMIC: ("Dynamic", "DHCP, any address of a pool"),
    AddressMethod.STATIC: ("Static", "written into the machine's own files"),
    AddressMethod.UNTOUCHED: ("Untouched", "the image's network files stay as they are"),
}


def size(count: float | None) -> str:
    """Bytes for a person: `917 MiB`; three significant digits are enough to compare two images."""
    if count is None:
        return "–"
    value = float(count)
    for unit in UNITS:
        if abs(value) < 1024 or unit == UNITS[-1]:
            digits = 0 if unit == "B" or value >= 100 else 1
            return f"{value:.{digits}f}".removesuffix(".0") + f" {unit}"
        value /= 1024
    raise AssertionError("the last unit always returns")


def span(seconds: float | None) -> str:
    """A duration: `0.4 s`, `48 s`, `3 min 05 s`, `2 h 10 min`, `3 d 4 h`."""
    if seconds is None:
        return "–"
    seconds = max(0.0, seconds)
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02d} min"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h"


def offset(seconds: float) -> str:
    """Time into a boot: `0:04.8`, `1:40.2`, `1:02:09`."""
    tenths = round(max(0.0, seconds) * 10)
    minutes, rest = divmod(tenths, 600)
    if minutes >= 60:
        return f"{minutes // 60}:{minutes % 60:02d}:{rest // 10:02d}"
    return f"{minutes}:{rest // 10:02d}.{rest % 10}"


def ago(at: float | None, now: float) -> str:
    """How long since `at`, coarse on purpose: it is read at a glance."""
    if at is None:
        return "never"
    seconds = now - at
    if seconds < 5:
        return "just now"
    for limit, step, unit in ((60, 1, "s"), (3600, 60, "min"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{int(seconds // step)} {unit} ago"
    return f"{int(seconds // 86400)} d ago"


def iso(at: float | None) -> str:
    """For `<time datetime>`; the page's script shows it in the reader's own zone."""
    return (
        ""
        if at is None
        else datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )


def clock(at: float | None) -> str:
    """Date and time in UTC, for pages without script."""
    return "–" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def percent(done: float | None, total: float | None) -> int | None:
    """Whole per cent, never 100 before it is done; None when the total is not known."""
    if done is None or not total or total < 0:
        return None
    return 100 if done >= total else max(0, min(99, int(done * 100 / total)))


def state_label(state: NodeState) -> str:
    return STATES[state][0]


def state_hint(state: NodeState) -> str:
    return STATES[state][1]


def title(node: Node) -> str:
    """What a node is called on a page: its name, or its first MAC while it has none."""
    return node.name or (node.macs[0] if node.macs else f"machine {node.id}")


def plural(count: int, noun: str, many: str | None = None) -> str:
    return f"{count} {noun if count == 1 else many or noun + 's'}"


def image_line(node: Node) -> str:
    """The image that matters now: the one being written, the one it runs, or the one it is meant to have."""
    if node.armed is not None and node.armed.capture is None:
        return node.armed.what
    return node.running or node.image or "–"
