"""The agent service of a running machine: asks the server for orders, by HTTPS and with this machine's own
token, and carries out those that are signed for it (order.py).

The law: an order is on record here before it is begun, so none is carried out twice; how it ended is on
record before the server is told, so that a restart in between loses nothing. The process ends after each
order: the next one is of the version that the machine has become. Python 3.8, standard library only.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from pathlib import Path
from typing import Any, Dict, Iterator
from urllib.parse import urlencode

from images.agent.client import Client, Refused
from images.agent.sealed import holder
from images.agent.service.bell import Bell
from images.agent.service.order import accepted, is_agent, ring
from images.agent.service.place import Memory, Server, server
from images.agent.service.telling import Telling
from images.agent.service.work import carry_out
from images.errors import ImageError

VERSION = 1
PAUSE = 60.0  # seconds, where the server names none
TROUBLE = 60.0  # seconds until what does not pass by itself is tried again


class Service:
    """One life of it, from its start to the end of one order. `root` is the machine's /."""

    def __init__(self, root: Path = Path("/")) -> None:
        self.server = server(root)
        self.memory = Memory(root)
        self.client = client_of(self.server)
        self.bell = Bell(ring(holder(self.server.token)))

    def run(self) -> None:
        """Returns after one order. Raises ImageError, OSError for what a person has to look at."""
        try:
            self.deliver()
            while not self.ask():
                pass
        finally:
            self.client.close()
            self.bell.close()

    def ask(self) -> bool:
        """One question; whether an order came of it. Waits when there is none."""
        words = urlencode({"port": self.bell.port, "version": VERSION})
        answer = self.client.get_json(f"/node/v1/order?{words}") or {}
        if "signed" in answer:
            with self._uninterrupted():
                self.obey(answer)
            return True
        self.client.close()  # a connection that is held open is memory on the server
        self.bell.wait(max(1.0, float(answer.get("pause") or PAUSE)))
        return False

    @contextlib.contextmanager
    def _uninterrupted(self) -> Iterator[None]:
        """A stop of the service, such as by the restart that an order brings, waits until its end is told."""
        before = signal.signal(signal.SIGTERM, lambda *_: None)  # a handler, which no child inherits
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)

    def obey(self, answer: Dict[str, Any]) -> None:
        """From its signature to its report. What is not accepted is told as well, and not done."""
        try:
            order = accepted(answer, self.server.token, self.server.key, self.memory.last)
            self.memory.take(order.number)
        except (ImageError, OSError) as error:
            say(f"an order was refused: {error}")
            self._tell({"number": answer.get("number"), "lines": [], "ended": failed(error)})
            return
        say(f"order {order.number}: {order.command} {order.task.get('ref', '')}")
        telling = Telling(client_of(self.server), order.number)
        try:
            script = self.client.get("/node/v1/agent")
            is_agent(script, order)
            ended = carry_out(order, self.server, script, telling.say)
        except (ImageError, OSError) as error:
            ended = failed(error)
        report = {"number": order.number, "lines": telling.end(), "ended": ended}
        say(f"order {order.number}: {ended['error'] or 'done'}")
        with contextlib.suppress(OSError):  # a full disk, perhaps; it is told all the same
            self.memory.keep(report)
        self._tell(report)

    def deliver(self) -> None:
        """Tells how an order ended, also one of an earlier life."""
        report = self.memory.kept()
        if report is not None:
            self._tell(report)

    def _tell(self, report: Dict[str, Any]) -> None:
        try:
            self.client.post_json("/node/v1/order", report)
        except Refused as refused:  # nobody waits for it any more
            say(str(refused))
        self.memory.told()


def client_of(server: Server) -> Client:
    """A connection for one thread."""
    return Client(server.url, server.token, Once(), certificate=server.certificate)


class Once:
    """To the journal, but not what was said before: a server may be away for days."""

    def __init__(self) -> None:
        self._last = ""

    def __call__(self, text: str) -> None:
        if text != self._last:
            say(text)
        self._last = text


def failed(error: Exception) -> Dict[str, Any]:
    """The end of an order that broke."""
    return {"code": 1, "error": str(error) or type(error).__name__}


def say(text: str) -> None:
    """To the journal."""
    print(f"bootsrv: {text}", file=sys.stderr, flush=True)


def main() -> None:
    """Entry point; systemd starts it again."""
    once = Once()
    while True:
        try:
            Service().run()
            return
        except (ImageError, OSError) as error:
            once(str(error) or type(error).__name__)
        time.sleep(TROUBLE)


if __name__ == "__main__":
    main()
