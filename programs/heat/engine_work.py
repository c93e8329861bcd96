"""List the stacks that an engine works on. Run by Heat's own Python, with Heat's own login.

Usage: engine_work.py HOST CONFIG_FILE …

HOST is the engine's name, its `[DEFAULT] host`. Prints a line for each stack: its name, its id and its project. An
engine keeps its row in the table of services until its last work is done, and renews the row every minute.
"""

import datetime
import sys

import sqlalchemy
from oslo_config import cfg

# An engine that has not renewed its row for two minutes is dead, and does not work on any stack.
RENEWED = datetime.timedelta(minutes=2)
# An engine locks what it works on with its id: a resource, or a stack as a whole.
QUERY = """
SELECT DISTINCT stack.name, stack.id, stack.tenant
FROM service
LEFT JOIN stack_lock ON stack_lock.engine_id = service.engine_id
LEFT JOIN resource ON resource.engine_id = service.engine_id
JOIN stack ON stack.id = stack_lock.stack_id OR stack.id = resource.stack_id
WHERE service.host = :host AND service.deleted_at IS NULL AND service.updated_at > :fresh
ORDER BY stack.name
"""


def main() -> None:
    """Query the database."""
    host, *files = sys.argv[1:]
    conf = cfg.ConfigOpts()
    conf.register_opt(cfg.StrOpt("connection", secret=True), group="database")
    conf([f"--config-file={path}" for path in files], project="heat", default_config_dirs=[])
    with sqlalchemy.create_engine(conf.database.connection).connect() as connection:
        fresh = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None) - RENEWED
        for name, stack, project in connection.execute(sqlalchemy.text(QUERY), {"host": host, "fresh": fresh}):
            print(f"{name} ({stack}, of project {project})")


main()
