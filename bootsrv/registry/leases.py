"""The lease table: where the house looks who has which address. The DHCP service writes its own journal
first and this a moment later (`bootsrv.leasebook`). Whatever happens to the clock between two runs, no lease
ends early (`moment`)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from ipaddress import IPv4Address

from bootsrv.registry import moment
from bootsrv.registry.connection import Database
from bootsrv.registry.moment import Moment
from pxe.dhcp.leases import NEVER
from pxe.dhcp.ports import Lease

TAKEN_BACK = "taken-back"  # a state that only lasts until the DHCP service has seen it
MOMENT = "leases.moment"  # the setting that holds when they were last written
AT_ONCE = 64  # rows written by one statement
_PUT = (
    "INSERT INTO leases VALUES {} ON CONFLICT (address) DO UPDATE SET mac=excluded.mac,"
    " client_id=excluded.client_id, expires=excluded.expires, hostname=excluded.hostname,"
    " state=excluded.state"
)


def _row(lease: Lease) -> tuple[object, ...]:
    return int(lease.address), lease.mac, lease.client_id, lease.expires, lease.hostname, lease.state


class Leases:
    """The lease table, one row for each address."""

    def __init__(self, db: Database, now: Callable[[], Moment] = moment.now) -> None:
        self._db = db
        self._now = now

    def load(self) -> Iterable[Lease]:
        """Every lease on record, expired ones too (a client gets its old address back while that is free).

        Moves their ends first when the clock was set since they were written. Raises OSError."""
        self._catch_up()
        return self.every()

    def every(self) -> Iterable[Lease]:
        """As they are on record."""
        for row in self._db.all("SELECT * FROM leases ORDER BY address"):
            yield Lease(
                IPv4Address(row["address"]),
                row["mac"],
                row["client_id"],
                row["expires"],
                row["hostname"],
                "released" if row["state"] == TAKEN_BACK else row["state"],
            )

    def take_back(self, address: IPv4Address, now: float) -> None:
        """End a lease by hand; the DHCP service, which has its own table, learns of it by `taken_back`."""
        self._db.run("UPDATE leases SET state=?, expires=? WHERE address=?", (TAKEN_BACK, now, int(address)))

    def taken_back(self) -> Iterable[IPv4Address]:
        """Addresses that were taken back and not committed since."""
        for row in self._db.all("SELECT address FROM leases WHERE state=?", (TAKEN_BACK,)):
            yield IPv4Address(row["address"])

    def commit(self, batch: Sequence[Lease]) -> None:
        """Store a batch. Raises OSError when it could not be stored; then none of it is."""
        with self._db.transaction():
            self._db.many(_PUT.format("(?, ?, ?, ?, ?, ?)"), [_row(lease) for lease in batch])
            self._keep_moment()

    def follow(self, batch: Sequence[Lease], ended: Collection[int] = ()) -> None:
        """Bring the table up to date with what is durable elsewhere. A row that a person took back stays so
        until its end has been seen: `ended` are the addresses of which that is true. Raises OSError."""
        with self._db.transaction():
            for number in ended:
                self._db.run(
                    "UPDATE leases SET state='released' WHERE address=? AND state=?", (number, TAKEN_BACK)
                )
            for first in range(0, len(batch), AT_ONCE):
                part = batch[first : first + AT_ONCE]
                # one statement for many rows: while it runs, packets are answered
                marks = ", ".join(["(?, ?, ?, ?, ?, ?)"] * len(part))
                values = [value for lease in part for value in _row(lease)]
                self._db.run(f"{_PUT.format(marks)} WHERE leases.state<>'{TAKEN_BACK}'", values)
            self._keep_moment()

    def _keep_moment(self) -> None:
        self._db.run(
            "INSERT INTO settings VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value=excluded.value",
            (MOMENT, self._now().text()),
        )

    def _catch_up(self) -> None:
        with self._db.transaction():
            row = self._db.one("SELECT value FROM settings WHERE name=?", (MOMENT,))
            seconds = moment.moved(moment.read(row["value"]), self._now()) if row is not None else 0.0
            if seconds:
                self._db.run(
                    "UPDATE leases SET expires=min(max(expires + ?, 0), ?) WHERE expires < ?",
                    (seconds, NEVER - 1, NEVER),
                )
                self._keep_moment()

    def mac_of(self, address: IPv4Address) -> str | None:
        """Whose address this is at the moment, as far as we gave it out."""
        row = self._db.one("SELECT mac FROM leases WHERE address=? AND state='bound'", (int(address),))
        return str(row["mac"]) if row is not None else None

    def of_mac(self, mac: str, now: float) -> IPv4Address | None:
        """The address a machine holds now, if we gave it one."""
        row = self._db.one(
            "SELECT address FROM leases WHERE mac=? AND state='bound' AND expires>? ORDER BY expires DESC",
            (mac, now),
        )
        return IPv4Address(row["address"]) if row is not None else None

    def held(self, now: float) -> dict[str, IPv4Address]:
        """MAC -> the address it holds now, for lists; of several the one that lasts longest."""
        rows = self._db.all(
            "SELECT mac, address FROM leases WHERE mac<>'' AND state='bound' AND expires>? ORDER BY expires",
            (now,),
        )
        return {str(row["mac"]): IPv4Address(row["address"]) for row in rows}

    def holder(self, address: IPv4Address, now: float) -> str | None:
        """The MAC that holds this address now; None: nobody does."""
        row = self._db.one(
            "SELECT mac FROM leases WHERE address=? AND state='bound' AND expires>?", (int(address), now)
        )
        return str(row["mac"]) if row is not None else None

    def named(self, name: str, now: float) -> IPv4Address | None:
        """The address whose lease has this host name now."""
        row = self._db.one(
            "SELECT address FROM leases WHERE hostname=? AND hostname<>'' AND state='bound' AND expires>?"
            " ORDER BY expires DESC",
            (name, now),
        )
        return IPv4Address(row["address"]) if row is not None else None

    def name_of(self, address: IPv4Address, now: float) -> str:
        """The host name of the lease that holds this address now; "" when there is none."""
        row = self._db.one(
            "SELECT hostname FROM leases WHERE address=? AND state='bound' AND expires>?", (int(address), now)
        )
        return str(row["hostname"]) if row is not None else ""

    def names_revision(self) -> int:
        """Goes up whenever a name or the address of one may have changed."""
        row = self._db.one("SELECT value FROM counters WHERE name='names'")
        return int(row["value"]) if row is not None else 0
