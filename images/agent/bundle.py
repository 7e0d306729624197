"""The one-file agent: what `curl -fsS http://SERVER/agent | sudo python3 - COMMAND ...` runs.

Python reads a script from standard input only as text, so this is a short script with the modules as a zip in
base64. The script puts the zip into memory (memfd_create(2); a temporary file where the kernel has none) and
imports from there: nothing is left on the machine. The law: the same sources give the same bytes, so that an
ETag holds over restarts. Built on the server, once per process.
"""

from __future__ import annotations

import base64
import io
import textwrap
import zipfile
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

from images.agent.sources import agent_files

START = "images.agent.command"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the oldest time a zip knows
_SCRIPT = '''\
#!/usr/bin/env python3
# bootsrv's agent for running machines, in one file: Python 3.8 or newer, nothing but its standard library.
import sys
if sys.version_info < (3, 8):
    sys.exit("bootsrv agent: needs Python 3.8 or newer; this is %d.%d" % sys.version_info[:2])

LACKS = "bootsrv agent: this python3 is not whole (%s); install the package python3, not only python3-minimal"
try:
    import base64, os, tempfile
except ImportError as error:
    sys.exit(LACKS % error)

SERVER = "@SERVER@"
CERTIFICATE = """@CERTIFICATE@"""
ARCHIVE = """
@ARCHIVE@
"""


def load(data):
    """Makes the archive importable; the descriptor stays open for as long as we run."""
    try:
        fd = os.memfd_create("bootsrv-agent")
    except (AttributeError, OSError):
        with tempfile.TemporaryFile() as nameless:
            fd = os.dup(nameless.fileno())
    with open(fd, "wb", closefd=False) as file:
        file.write(data)
    path = "/proc/%d/fd/%d" % (os.getpid(), fd)
    if not os.path.exists(path):
        sys.exit("bootsrv agent: needs /proc, which is not mounted here: mount -t proc proc /proc")
    sys.path.insert(0, path)


if __name__ == "__main__":
    load(base64.b64decode(ARCHIVE))
    try:
        from images.agent.command import main

        status = main(sys.argv[1:], SERVER, CERTIFICATE)
    except ImportError as error:
        if (error.name or "").startswith("images"):
            raise
        sys.exit(LACKS % error)
    sys.exit(status)
'''


def build(server: str, certificate: str = "") -> bytes:
    """The agent that talks to `server` (http://HOST:PORT) unless it is told otherwise; to one with https://,
    if it shows this `certificate` (PEM)."""
    if not server.isascii() or any(sign in server for sign in "\"'\\\n"):
        raise ValueError(f"{server!r} is no server's address")
    if not certificate.isascii() or any(sign in certificate for sign in "\"'\\"):
        raise ValueError("that is no certificate in PEM")
    made = _script().replace("@SERVER@", server).replace("@CERTIFICATE@", certificate)
    return made.encode("ascii")


@lru_cache(maxsize=1)
def _script() -> str:
    text = base64.b64encode(archive()).decode("ascii")
    return _SCRIPT.replace("@ARCHIVE@", "\n".join(textwrap.wrap(text, 120)))


def archive(start: str = START, more: Mapping[str, bytes] = MappingProxyType({})) -> bytes:
    """The modules that `start` needs, as a zip; `more` files beside them, by name."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as made:
        for name, source in {**agent_files(start), **more}.items():
            made.writestr(zipfile.ZipInfo(name, _EPOCH), source, zipfile.ZIP_DEFLATED, 9)
    return packed.getvalue()
