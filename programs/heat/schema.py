"""Bring Heat's database schema up to this release, if it is behind. Run by Heat's own Python.

Usage: schema.py look|sync CONFIG_FILE …

look changes nothing, and prints the revision of the database (null: it is empty) and the newest one, as JSON. sync
migrates. Both refuse a database of a release that is newer than the code, and a key that does not decrypt what is in
the database: this runs before any process starts.
"""

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import heat.db
import sqlalchemy
from oslo_config import cfg

from encrypted import refusal


class Schema(NamedTuple):
    """The database's revision (None: it is empty), the newest one, all that are known, and how to get there."""

    current: str | None
    newest: str
    known: set[str]
    sync: Callable[[], object]


def of_alembic() -> Schema:
    """As Heat has it since 21."""
    from alembic.config import Config  # noqa: PLC0415 # each kind of schema has libraries of its own
    from alembic.script import ScriptDirectory  # noqa: PLC0415
    from heat.db import migration  # noqa: PLC0415

    scripts = ScriptDirectory.from_config(Config(str(Path(heat.db.__file__).with_name("alembic.ini"))))
    known = {script.revision for script in scripts.walk_revisions()}
    return Schema(migration.db_version(), str(scripts.get_current_head()), known, migration.db_sync)


def of_migrate() -> Schema:
    """As Heat had it before: revisions are numbers."""
    from heat.db.sqlalchemy import api, migration  # noqa: PLC0415
    from migrate.versioning.repository import Repository  # noqa: PLC0415

    engine = api.get_engine()
    newest = int(Repository(str(Path(migration.__file__).with_name("migrate_repo"))).latest)
    known = {str(number) for number in range(newest + 1)}
    with engine.connect() as connection:
        # A newer Heat's database is taken for an empty one by the call below.
        if sqlalchemy.inspect(engine).has_table("alembic_version"):
            current = connection.scalar(sqlalchemy.text("SELECT version_num FROM alembic_version"))
        else:
            number = int(migration.db_version(engine))
            current = None if number == migration.INIT_VERSION else str(number)
    return Schema(current, str(newest), known, lambda: migration.db_sync(engine))


def main() -> None:
    """Compare the database's revision with the code's, and migrate or tell where they differ."""
    action, *paths = sys.argv[1:]
    files = [f"--config-file={path}" for path in paths]
    cfg.CONF(files, project="heat")
    schema = of_alembic() if importlib.util.find_spec("heat.db.migration") else of_migrate()
    with sqlalchemy.create_engine(cfg.CONF.database.connection).connect() as connection:
        if refused := refusal(connection, cfg.CONF.auth_encryption_key):
            sys.exit(refused)
    if schema.current is not None and schema.current not in schema.known:
        sys.exit(
            f"the database's schema is at {schema.current}, which this release of Heat does not know: it is newer than "
            f"the code (which ends at {schema.newest}), or not Heat's. Install the release it belongs to, or name "
            "another database."
        )
    if action == "look":
        print(json.dumps({"current": schema.current, "newest": schema.newest}))
        return
    if schema.current == schema.newest:
        print(f"the schema is at {schema.newest} already")
        return
    schema.sync()
    print(f"the schema went from {schema.current or 'nothing'} to {schema.newest}")


main()
