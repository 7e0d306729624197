"""The agent service as it lies in an image: a zip of this program, and the unit that starts it.

What is one machine's own (where the server is, its token, whom to believe) is not in it: imaging lays that
on, and every push over SSH does so anew. Python 3.8, standard library only.
"""

from __future__ import annotations

from typing import Dict

from images.agent.home import CONF, KEY

START = "images.agent.service.__main__"
MAIN = b"from images.agent.service.__main__ import main\n\nmain()\n"
PROGRAM = "/usr/lib/bootsrv/agent.zip"
UNIT = "bootsrv-agent.service"
# Below /usr, where a push puts the image's files: what lies below /etc is the machine's own.
FOLDER = "/usr/lib/systemd/system"
UNIT_FILE = f"{FOLDER}/{UNIT}"
WANTS = f"{FOLDER}/multi-user.target.wants/{UNIT}"
TARGET = f"../{UNIT}"

# A push that is under way goes on whatever becomes of the service (KillMode), and the service ends after each
# order, so that it goes on with the code and the Python that this order may have brought.
UNIT_TEXT = f"""\
[Unit]
Description=Take orders from bootsrv
After=network.target
ConditionPathExists={CONF}
ConditionPathExists={KEY}
StartLimitIntervalSec=0

[Service]
Type=simple
ExecStart=/usr/bin/python3 -I -S {PROGRAM}
Restart=always
RestartSec=2
KillMode=process
"""


def files(program: bytes) -> Dict[str, bytes]:
    """Path and content of each file."""
    return {PROGRAM: program, UNIT_FILE: UNIT_TEXT.encode()}
