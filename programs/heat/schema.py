"""Upgrade the schema of Heat's database to this release, if the schema is older. Run by Heat's own Python.

Usage: schema.py look|sync CONFIG_FILE …

look changes nothing, and prints the revision of the database (null for an empty one) and the newest revision, as JSON.
sync upgrades. Both refuse a database of a newer release, and a key that does not decrypt the data: this program runs
before any process starts.
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

from encrypted import explain_wrong_key


class Schema(NamedTuple):
    """The database's revision (None if it is empty), the newest revision, all known revisions, and the upgrade."""

    current: str | None
    newest: str
    known: set[str]
    sync: Callable[[], object]


def of_alembic() -> Schema:
    """The schema of Heat 21 and later."""
    from alembic.config import Config  # noqa: PLC0415 # each kind of schema has its own libraries
    from alembic.script import ScriptDirectory  # noqa: PLC0415
    from heat.db import migration  # noqa: PLC0415

    scripts = ScriptDirectory.from_config(Config(str(Path(heat.db.__file__).with_name("alembic.ini"))))
    known = {script.revision for script in scripts.walk_revisions()}
    return Schema(migration.db_version(), str(scripts.get_current_head()), known, migration.db_sync)


def of_migrate() -> Schema:
    """The schema of earlier releases, whose revisions are numbers."""
    from heat.db.sqlalchemy import api, migration  # noqa: PLC0415
    from migrate.versioning.repository import Repository  # noqa: PLC0415

    engine = api.get_engine()
    newest = int(Repository(str(Path(migration.__file__).with_name("migrate_repo"))).latest)
    known = {str(number) for number in range(newest + 1)}
    with engine.connect() as connection:
        # The call below takes a newer Heat's database for an empty one.
        if sqlalchemy.inspect(engine).has_table("alembic_version"):
            current = connection.scalar(sqlalchemy.text("SELECT version_num FROM alembic_version"))
        else:
            number = int(migration.db_version(engine))
            current = None if number == migration.INIT_VERSION else str(number)
    return Schema(current, str(newest), known, lambda: migration.db_sync(engine))


def main() -> None:
    """Compare the database's revision with the code's, and upgrade the schema or print the revisions."""
    action, *paths = sys.argv[1:]
    files = [f"--config-file={path}" for path in paths]
    cfg.CONF(files, project="heat")
    schema = of_alembic() if importlib.util.find_spec("heat.db.migration") else of_migrate()
    with sqlalchemy.create_engine(cfg.CONF.database.connection).connect() as connection:
        if refused := explain_wrong_key(connection, cfg.CONF.auth_encryption_key):
            sys.exit(refused)
    if schema.current is not None and schema.current not in schema.known:
        sys.exit(
            f"the database's schema is at {schema.current}, which this release of Heat does not know: the schema is "
            f"newer than the release (whose newest revision is {schema.newest}), or it is not Heat's. Install the "
            "release that the database belongs to, or configure another database."
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
