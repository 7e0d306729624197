"""The tables, and how an older file becomes a newer one.

`PRAGMA user_version` counts the steps already taken; a step is never edited once released, only followed by
another. Addresses are stored as integers so that ranges are index look-ups. Times are epoch seconds.
"""

from __future__ import annotations

from bootsrv.errors import Conflict
from bootsrv.registry.connection import Database

_NEXT_NAMES = "UPDATE counters SET value=value+1 WHERE name='names'"
_NAMES_CHANGE = (
    "INSERT ON nodes WHEN new.name IS NOT NULL",
    "DELETE ON nodes WHEN old.name IS NOT NULL",
    "UPDATE OF name, address ON nodes WHEN new.name IS NOT old.name OR new.address IS NOT old.address",
    "INSERT ON macs",
    "DELETE ON macs",
    "INSERT ON leases",
    "UPDATE OF mac, state ON leases WHEN new.mac IS NOT old.mac OR new.state IS NOT old.state",
)

# `hosts` goes up with whatever may change what DHCP answers a registered machine: so long as it stands, what
# was looked up before is still true.
_NEXT_HOSTS = "UPDATE counters SET value=value+1 WHERE name='hosts'"
_HOST_COLUMNS = (
    "name", "state", "address", "method", "image", "mode", "armed_image", "armed_at", "armed_wipe",
    "armed_attempts", "options", "error", "half_written",
)  # fmt: skip
_HOSTS_CHANGE = (
    "INSERT ON nodes",
    "DELETE ON nodes",
    "UPDATE ON nodes WHEN new.last_seen IS old.last_seen OR "
    + " OR ".join(f"new.{name} IS NOT old.{name}" for name in _HOST_COLUMNS),
    *(f"{what} ON {table}" for table in ("macs", "memberships", "groups")
      for what in ("INSERT", "UPDATE", "DELETE")),
    "INSERT ON settings WHEN new.name GLOB 'identity.*'",
    "UPDATE ON settings WHEN new.name GLOB 'identity.*'",
    "DELETE ON settings WHEN old.name GLOB 'identity.*'",
)  # fmt: skip

_NEXT_ANSWERS = "UPDATE counters SET value=value+1 WHERE name='answers'"
_ANSWERS_CHANGE = (
    "INSERT ON answer_versions",
    "DELETE ON answers",
    "INSERT ON answer_secrets",
    "UPDATE ON answer_secrets",
    "DELETE ON answer_secrets",
)

STEPS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE nodes (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            name TEXT UNIQUE,
            state TEXT NOT NULL,
            address INTEGER UNIQUE,
            method TEXT NOT NULL,
            image TEXT,
            mode TEXT NOT NULL,
            armed_image TEXT, armed_at REAL, armed_wipe INTEGER, armed_attempts INTEGER,
            options TEXT NOT NULL, disk TEXT, facts TEXT NOT NULL, firmware TEXT,
            running TEXT, error TEXT, created REAL NOT NULL, last_seen REAL)""",
        "CREATE INDEX nodes_state ON nodes (state, last_seen)",
        "CREATE TABLE macs (mac TEXT PRIMARY KEY, node INTEGER NOT NULL REFERENCES nodes ON DELETE CASCADE,"
        " place INTEGER NOT NULL) WITHOUT ROWID",
        "CREATE INDEX macs_node ON macs (node)",
        "CREATE TABLE memberships (name TEXT NOT NULL,"
        " node INTEGER NOT NULL REFERENCES nodes ON DELETE CASCADE,"
        " PRIMARY KEY (name, node)) WITHOUT ROWID",
        "CREATE INDEX memberships_node ON memberships (node)",
        "CREATE TABLE groups (name TEXT PRIMARY KEY, options TEXT NOT NULL) WITHOUT ROWID",
        "CREATE TABLE leases (address INTEGER PRIMARY KEY, mac TEXT NOT NULL, client_id BLOB,"
        " expires REAL NOT NULL,"
        " hostname TEXT NOT NULL, state TEXT NOT NULL)",
        "CREATE INDEX leases_mac ON leases (mac)",
        """CREATE TABLE events (
            id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, node INTEGER, mac TEXT, boot INTEGER,
            kind TEXT NOT NULL, text TEXT NOT NULL, data TEXT NOT NULL)""",
        "CREATE INDEX events_node ON events (node, id)",
        "CREATE INDEX events_mac ON events (mac, id)",
        "CREATE INDEX events_boot ON events (boot, id)",
        # where each machine is in its current boot: which boot it is and how far it came
        "CREATE TABLE flights (mac TEXT PRIMARY KEY, boot INTEGER NOT NULL, phase TEXT NOT NULL,"
        " at REAL NOT NULL)"
        " WITHOUT ROWID",
        "CREATE TABLE logs (id INTEGER PRIMARY KEY AUTOINCREMENT, node INTEGER NOT NULL, boot INTEGER,"
        " at REAL NOT NULL, text TEXT NOT NULL)",
        "CREATE INDEX logs_node ON logs (node, id)",
        "CREATE TABLE tokens (hash BLOB PRIMARY KEY, purpose TEXT NOT NULL, subject TEXT NOT NULL,"
        " data TEXT NOT NULL, created REAL NOT NULL, expires REAL NOT NULL) WITHOUT ROWID",
        "CREATE INDEX tokens_subject ON tokens (purpose, subject, created)",
        "CREATE INDEX tokens_expires ON tokens (expires)",
        "CREATE TABLE users (name TEXT PRIMARY KEY, hash TEXT NOT NULL, created REAL NOT NULL) WITHOUT ROWID",
        "CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    ),
    (
        # `names` goes up with whatever may change an answer of DNS, and with nothing else: it is the zones'
        # serial.
        "CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
        "INSERT INTO counters VALUES ('names', 1)",
        *(
            f"CREATE TRIGGER names_{number} AFTER {what} BEGIN {_NEXT_NAMES}; END"
            for number, what in enumerate(_NAMES_CHANGE)
        ),
    ),
    (
        "ALTER TABLE nodes ADD COLUMN half_written INTEGER NOT NULL DEFAULT 0",
        # of these nobody knows how far the imager came
        "UPDATE nodes SET half_written=1 WHERE state IN ('imaging', 'failed')",
    ),
    (
        "INSERT INTO counters VALUES ('hosts', 1)",
        *(
            f"CREATE TRIGGER hosts_{number} AFTER {what} BEGIN {_NEXT_HOSTS}; END"
            for number, what in enumerate(_HOSTS_CHANGE)
        ),
        "CREATE INDEX leases_taken_back ON leases (address) WHERE state='taken-back'",
    ),
    (
        "CREATE TABLE upkeep (node INTEGER PRIMARY KEY REFERENCES nodes ON DELETE CASCADE,"
        " host_keys TEXT NOT NULL DEFAULT '[]', image TEXT, drift INTEGER, looked REAL)",
    ),
    ("ALTER TABLE nodes ADD COLUMN armed_capture TEXT",),
    ("ALTER TABLE nodes ADD COLUMN layout TEXT",),
    (
        "CREATE INDEX leases_hostname ON leases (hostname) WHERE hostname<>''",
        "CREATE TRIGGER names_hostname AFTER UPDATE OF hostname ON leases"
        f" WHEN new.hostname IS NOT old.hostname BEGIN {_NEXT_NAMES}; END",
    ),
    (
        "ALTER TABLE nodes ADD COLUMN diskless TEXT",
        "ALTER TABLE nodes ADD COLUMN rooted TEXT",
        "ALTER TABLE groups ADD COLUMN boot TEXT NOT NULL DEFAULT ''",
        # until now nobody could have meant anything by it
        "UPDATE nodes SET mode='' WHERE mode='local'",
    ),
    (
        "CREATE TABLE answers (id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, name TEXT NOT NULL,"
        " UNIQUE (kind, name))",
        "CREATE TABLE answer_versions (answer INTEGER NOT NULL REFERENCES answers ON DELETE CASCADE,"
        " number INTEGER NOT NULL, text TEXT NOT NULL, at REAL NOT NULL, author TEXT NOT NULL,"
        " comment TEXT NOT NULL, PRIMARY KEY (answer, number)) WITHOUT ROWID",
        "CREATE TABLE answer_secrets (name TEXT PRIMARY KEY, value TEXT NOT NULL, at REAL NOT NULL)"
        " WITHOUT ROWID",
        "ALTER TABLE nodes ADD COLUMN profile TEXT",
        "INSERT INTO counters VALUES ('answers', 1)",
        *(
            f"CREATE TRIGGER answers_{number} AFTER {what} BEGIN {_NEXT_ANSWERS}; END"
            for number, what in enumerate(_ANSWERS_CHANGE)
        ),
        "CREATE TRIGGER hosts_profile AFTER UPDATE OF profile ON nodes WHEN new.profile IS NOT old.profile"
        f" BEGIN {_NEXT_HOSTS}; END",
    ),
    (
        "ALTER TABLE nodes ADD COLUMN armed_install TEXT",
        "CREATE INDEX nodes_installing ON nodes (id) WHERE armed_install IS NOT NULL",
    ),
    (
        "ALTER TABLE upkeep ADD COLUMN room_used INTEGER",
        "ALTER TABLE upkeep ADD COLUMN room_size INTEGER",
        "ALTER TABLE upkeep ADD COLUMN room_looked REAL",
    ),
    (  # asked twice a second by those who serve diskless machines, where most nodes may be none
        "CREATE INDEX nodes_rooted ON nodes (id) WHERE rooted IS NOT NULL",
        "CREATE INDEX nodes_diskless ON nodes (id) WHERE mode='diskless'",
        "CREATE INDEX groups_booting ON groups (name) WHERE boot<>''",
    ),
    (
        # `secret`: the hash of the token that it calls with
        "CREATE TABLE agents (node INTEGER PRIMARY KEY REFERENCES nodes ON DELETE CASCADE,"
        " secret BLOB NOT NULL, called REAL NOT NULL, address TEXT NOT NULL, port INTEGER NOT NULL)",
        # numbers are never used again: see registry.orders
        "CREATE TABLE orders (number INTEGER PRIMARY KEY AUTOINCREMENT,"
        " node INTEGER NOT NULL REFERENCES nodes ON DELETE CASCADE, secret BLOB NOT NULL,"
        " sealed TEXT NOT NULL DEFAULT '', opens TEXT NOT NULL, state TEXT NOT NULL, made REAL NOT NULL,"
        " heard REAL NOT NULL, error TEXT NOT NULL DEFAULT '')",
        "CREATE INDEX orders_node ON orders (node)",
        "CREATE TABLE order_lines (id INTEGER PRIMARY KEY AUTOINCREMENT,"
        " number INTEGER NOT NULL REFERENCES orders ON DELETE CASCADE, line TEXT NOT NULL)",
        "CREATE INDEX order_lines_number ON order_lines (number, id)",
    ),
)


def migrate(db: Database) -> None:
    """Bring the file up to this program's form. Raises Conflict when a newer program has written it."""
    with db.transaction():
        row = db.one("PRAGMA user_version")
        done = int(row[0]) if row else 0
        if done > len(STEPS):
            raise Conflict(
                f"{db.path} was written by a newer bootsrv (form {done}, this one knows {len(STEPS)})"
            )
        for step in STEPS[done:]:
            for statement in step:
                db.run(statement)
        if done < len(STEPS):
            db.run(f"PRAGMA user_version={len(STEPS)}")
