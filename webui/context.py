"""What every view needs from its application: the appliance, and the clock that tests can set."""

from __future__ import annotations

import time

from flask import current_app

from bootsrv.appliance.appliance import Appliance

KEY = "appliance"


def appliance() -> Appliance:
    """The verbs. One object for the whole process; its registry gives every thread its own connection."""
    found = current_app.extensions[KEY]
    assert isinstance(found, Appliance)
    return found


def now() -> float:
    """Seconds since the epoch."""
    return time.time()
