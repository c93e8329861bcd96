"""Stack recovery and cleanup. Run by Heat's own Python, as Heat's own user, from systemd's timers.

Usage: caretaker.py TASK --node=NAME --directory=PATH --grace=SECONDS --days=NUMBER CONFIG_FILE …

rescue: recover stacks whose engine died. A stack without an engine is stuck if it is unchanged for the grace time.
clean: remove the rows of dead engines from the table of services.
purge: remove stacks for good that were deleted DAYS ago.

The directory gets a file of counters for each task, in Prometheus' text format, and this node's memory of stacks.

Every node has the timers, and one node at a time does the work. The lock is an exclusive queue at the broker: one
connection of the whole cluster owns it, and the queue disappears with the connection. The database is unsuitable:
GET_LOCK is local to a Galera member, and a row with the lock's owner outlives the owner. Recovery needs the broker
anyway.
"""

import argparse
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import kombu
from amqp.exceptions import AMQPError, ResourceLocked

from broker_consumers import broker, consumers, read
from members import explain_not_a_member
from upkeep import HANDICAP, Counters, HeatStore, Memory, Turn, explain_unsupported, rescue

# Seconds of silence after which the broker drops the lock. A run contacts the broker before each of its actions.
HEARTBEAT = 60
# A run lasts HANDICAP and this many seconds, so that a small difference between clocks does not cause two runs.
HOLD = 5


class Lock:
    """The broker, by the connection that holds the lock of a task."""

    def __init__(self, connection: kombu.Connection, task: str) -> None:
        self._connection, self._name = connection, f"heat-caretaker.{task}"

    def take(self) -> bool:
        """Take the lock; False if another node has it."""
        try:
            self._connection.default_channel.queue_declare(self._name, exclusive=True)
        except ResourceLocked:
            return False
        return True

    def prove(self) -> None:
        """Check that this node still has the lock; raises the broker's error if not."""
        self._connection.default_channel.queue_declare(self._name, exclusive=True, passive=True)

    def consumers(self, queue: str) -> int:
        """The number of a queue's consumers; 0 if the queue does not exist."""
        return consumers(self._connection, queue)

    def waiting(self, queue: str) -> int:
        """The number of messages in a queue."""
        return int(self._connection.default_channel.queue_declare(queue, passive=True).message_count)


def run(heat: HeatStore, lock: Lock, counters: Counters, arguments: argparse.Namespace) -> str:
    """Run the task; returns a line about the result."""
    tasks: dict[str, Callable[[], str]] = {
        "rescue": lambda: rescue(
            heat,
            lock,
            counters,
            Memory(arguments.directory / "seen.json", boot),
            now=time.monotonic(),
            grace=arguments.grace,
        ),
        "clean": lambda: counters.count("services_cleaned", heat.clean()),
        "purge": lambda: counters.count("stacks_purged", heat.purge(arguments.days)),
    }
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return tasks[arguments.task]()


def main() -> None:
    """Run one task, if this node gets the lock."""
    parser = argparse.ArgumentParser()
    parser.add_argument("task", choices=["rescue", "clean", "purge"])
    parser.add_argument("--node", required=True)
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--grace", type=float, required=True)
    parser.add_argument("--days", type=int, required=True)
    parser.add_argument("files", nargs="+")
    arguments = parser.parse_args()
    if why := explain_unsupported(version("openstack-heat")):
        print(why)
        return
    task, files = arguments.task, arguments.files
    counters = Counters(arguments.directory / f"{task}.prom")
    began, turn = time.time(), Turn(counters, task)
    time.sleep(turn.wait)
    try:
        with broker(read(files)) as connection:
            connection.heartbeat = HEARTBEAT
            connection.ensure_connection(max_retries=1)
            # On a separate channel: the broker closes it if the queue does not exist.
            with connection.channel() as channel:
                if why := explain_not_a_member(channel, arguments.node):
                    print(f"nothing was done: {why}")
                    return
            lock = Lock(connection, task)
            if not lock.take():
                print("another node is at it")
                turn.skipped()
                return
            # The import takes a second: only on the node that does the work.
            import records  # noqa: PLC0415

            records.connect(files)
            print(run(records, lock, counters, arguments))
            turn.completed(began)
            time.sleep(max(0.0, began + HANDICAP + HOLD - time.time()))
    except (kombu.exceptions.KombuError, AMQPError, OSError) as error:
        sys.exit(f"{task}: nothing was done, because the broker does not answer: {error!r}")


main()
