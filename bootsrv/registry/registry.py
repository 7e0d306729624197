"""One door to what is kept. Every process opens its own; all of them see one state.

A move to another database later replaces this package and nothing else: no SQL and no sqlite3 beyond it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from bootsrv.model import Node
from bootsrv.registry.connection import Database
from bootsrv.registry.events import Events
from bootsrv.registry.identities import Identities
from bootsrv.registry.leases import Leases
from bootsrv.registry.nodes import Nodes
from bootsrv.registry.orders import Orders
from bootsrv.registry.profiles import Profiles
from bootsrv.registry.schema import migrate
from bootsrv.registry.search import Search
from bootsrv.registry.settings import Settings
from bootsrv.registry.tokens import Tokens
from bootsrv.registry.upkeep import Upkeep
from bootsrv.registry.users import Users


class Registry:
    """Safe to share between threads. Raises OSError when the file cannot be used."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self.nodes = Nodes(db)
        self.search = Search(db, self.nodes)
        self.leases = Leases(db)
        self.identities = Identities(db)
        self.events = Events(db)
        self.tokens = Tokens(db)
        self.users = Users(db)
        self.settings = Settings(db)
        self.upkeep = Upkeep(db)
        self.profiles = Profiles(db)
        self.orders = Orders(db)

    @classmethod
    def open(cls, path: Path) -> Registry:
        """Open the file, making it or bringing it up to date. Readable by its owner and group only."""
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.touch(mode=0o660)
        db = Database(path)
        migrate(db)
        return cls(db)

    def transaction(self) -> AbstractContextManager[None]:
        """All or nothing, over every table."""
        return self._db.transaction()

    def machine(self, mac: str) -> Node | None:
        """The node that asks from this card: the one at whose place it was last seen, else its own."""
        number = self.identities.guest(mac)
        return (self.nodes.get(number) if number is not None else None) or self.nodes.by_mac(mac)

    def id_of_machine(self, mac: str) -> int | None:
        """Only the id of that node: what the flight recorder needs for every packet."""
        guest = self.identities.guest(mac)
        return guest if guest is not None else self.nodes.id_of_mac(mac)

    def relax(self) -> None:
        """This thread's commits need not wait for the disk from now on."""
        self._db.relax()

    def changes(self) -> tuple[int, int]:
        """Differs once anybody has committed something; cheap enough to poll."""
        return self._db.changes()

    def close(self) -> None:
        """Close this thread's connection."""
        self._db.close()


@contextmanager
def opened(path: Path) -> Iterator[Registry]:
    """A registry for the length of one command."""
    registry = Registry.open(path)
    try:
        yield registry
    finally:
        registry.close()
