"""Look after what Heat's engines leave behind. Run by Heat's own Python, as Heat's own user, from systemd's timers.

Usage: caretaker.py TASK --node=NAME --directory=PATH --grace=SECONDS --days=NUMBER CONFIG_FILE …

rescue: set stacks going again whose engine is gone; one that no engine seems to hold is stuck when it has been the same
for the grace time.
clean: remove the rows of dead engines from the table of services.
purge: remove for good the stacks that were deleted so many days ago.

The directory gets a file of counters for each task, in Prometheus' text format, and this node's memory of stacks.

Every node has the timers, and one at a time does the work. The lock is an exclusive queue at the broker, which has one
owner however many members the broker has, and which goes with its owner's connection. The database would not do:
GET_LOCK is each Galera member's own, and a row that says who has the lock outlives its holder. Without the broker
nothing could be rescued anyway.
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
from members import stranger
from upkeep import HANDICAP, Counters, Heat, Memory, Turn, rescue, unserved

# Seconds of silence after which the broker takes the lock away. A run has a word with it before all that it does.
HEARTBEAT = 60
# A run lasts for HANDICAP and so many seconds more, so that clocks which differ a little do not make two runs of it.
HOLD = 5


class Lock:
    """The broker, asked over the connection that holds the lock of a task."""

    def __init__(self, connection: kombu.Connection, task: str) -> None:
        self._connection, self._name = connection, f"heat-caretaker.{task}"

    def take(self) -> bool:
        """Take the lock, unless another node has it."""
        try:
            self._connection.default_channel.queue_declare(self._name, exclusive=True)
        except ResourceLocked:
            return False
        return True

    def prove(self) -> None:
        """See that the lock is still this node's: a word to the broker that fails where it is not."""
        self._connection.default_channel.queue_declare(self._name, exclusive=True, passive=True)

    def consumers(self, queue: str) -> int:
        """How many consumers a queue has; one that is not there has none."""
        return consumers(self._connection, queue)

    def waiting(self, queue: str) -> int:
        """How many messages wait in a queue."""
        return int(self._connection.default_channel.queue_declare(queue, passive=True).message_count)


def run(heat: Heat, lock: Lock, counters: Counters, words: argparse.Namespace) -> str:
    """Do the task; what was done, in a line."""
    tasks: dict[str, Callable[[], str]] = {
        "rescue": lambda: rescue(
            heat, lock, counters, Memory(words.directory / "seen.json", boot), now=time.monotonic(), grace=words.grace
        ),
        "clean": lambda: counters.count("services_cleaned", heat.clean()),
        "purge": lambda: counters.count("stacks_purged", heat.purge(words.days)),
    }
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return tasks[words.task]()


def main() -> None:
    """Do one task, if this node is the one to do it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("task", choices=["rescue", "clean", "purge"])
    parser.add_argument("--node", required=True)
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--grace", type=float, required=True)
    parser.add_argument("--days", type=int, required=True)
    parser.add_argument("files", nargs="+")
    words = parser.parse_args()
    if why := unserved(version("openstack-heat")):
        print(why)
        return
    task, files = words.task, words.files
    counters = Counters(words.directory / f"{task}.prom")
    began, turn = time.time(), Turn(counters, task)
    time.sleep(turn.wait)
    try:
        with broker(read(files)) as connection:
            connection.heartbeat = HEARTBEAT
            connection.ensure_connection(max_retries=1)
            # On a channel of its own, which the broker closes where it knows of no members.
            with connection.channel() as channel:
                if why := stranger(channel, words.node):
                    print(f"nothing is done: {why}")
                    return
            lock = Lock(connection, task)
            if not lock.take():
                print("another node is at it")
                turn.missed()
                return
            # It takes a second to load: not on every node, every minute, for nothing.
            import records  # noqa: PLC0415

            records.connect(files)
            print(run(records, lock, counters, words))
            turn.had(began)
            time.sleep(max(0.0, began + HANDICAP + HOLD - time.time()))
    except (kombu.exceptions.KombuError, AMQPError, OSError) as error:
        sys.exit(f"{task}: nothing is done, as the broker does not answer: {error!r}")


main()
