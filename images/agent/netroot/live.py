"""The files that the server has for a diskless machine, laid over its running system: what `bootsrv node
apply` starts there over SSH. Prints one JSON object: the paths that were different. Python 3.8, standard
library only.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from images.agent.netroot import personal
from images.agent.rootfs import Root
from images.agent.update.task import row_from_environment
from images.errors import BadInput


def run() -> int:
    """Exit code 0. Raises BadInput, OSError."""
    if os.geteuid() != 0:
        raise BadInput("must be run as root")
    task = row_from_environment("bootsrv node apply")
    root = Root(Path("/"))
    try:
        changed = personal.again(root, task)
    finally:
        root.close()
    sys.stdout.write(json.dumps({"changed": changed}) + "\n")
    return 0
