"""Sets a clock that is far off by the server's.

Field fact: a machine with an empty battery believes it is 1970 or 2009. File systems made then are "from
the future" at the next boot, and certificates are not valid yet. Python 3.8, standard library only.
"""

from __future__ import annotations

import calendar
import subprocess
import time

FAR = 120.0  # seconds; less than that is time synchronisation's business


def server_time(header: str | None) -> float | None:
    """Seconds since the epoch from an HTTP Date header (RFC 9110 §5.6.7); None when there is none."""
    try:
        return float(calendar.timegm(time.strptime(header or "", "%a, %d %b %Y %H:%M:%S GMT")))
    except ValueError:
        return None


def adjust(header: str | None) -> str | None:
    """Sets system and hardware clock when they are far off; says so, or returns None. Needs root."""
    wanted = server_time(header)
    if wanted is None or abs(wanted - time.time()) < FAR:
        return None
    before = time.strftime("%Y-%m-%d %H:%M", time.gmtime())
    time.clock_settime(time.CLOCK_REALTIME, wanted)
    subprocess.run(["busybox", "hwclock", "-w", "-u"], check=False, stderr=subprocess.DEVNULL)
    return f"the clock said {before} UTC; set to the server's, {header}"
