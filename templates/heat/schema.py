"""Bring Heat's database schema up to this release, if it is behind. Run by Heat's own Python.

Usage: schema.py CONFIG_FILE …
"""

import sys
from pathlib import Path

import heat.db
from alembic.config import Config
from alembic.script import ScriptDirectory
from heat.db import migration
from oslo_config import cfg


def main() -> None:
    """Compare the database's revision with the code's, and migrate where they differ."""
    files = [f"--config-file={path}" for path in sys.argv[1:]]
    cfg.CONF(files, project="heat")
    scripts = ScriptDirectory.from_config(Config(str(Path(heat.db.__file__).with_name("alembic.ini"))))
    head = scripts.get_current_head()
    current = migration.db_version()
    if current == head:
        print(f"the schema is at {head} already")
        return
    known = {script.revision for script in scripts.walk_revisions()}
    if current is not None and current not in known:
        sys.exit(
            f"the database's schema is at {current}, which this release of Heat does not know: it is newer than the "
            f"code (which ends at {head}), or not Heat's. Install the release it belongs to, or name another database."
        )
    migration.db_sync()
    print(f"the schema went from {current or 'nothing'} to {head}")


main()
