"""The nodes of the deployment, published at the broker: an engine starts only on a member. Run by Heat's own Python.

Usage: members.py tell NODE … -- CONFIG_FILE …     publish the members
       members.py ask NODE -- CONFIG_FILE …        check that NODE is a member
       members.py leave NODE -- CONFIG_FILE …      remove NODE from the members

The members are one message in a queue. `ask` exits with NOT_A_MEMBER if the broker has a list of members without NODE:
the node was down when it left the deployment, and has come back. While the broker does not answer, or refuses the login
or the vhost, `ask` tries again and prints the reason. If the broker answers and the message cannot be read, every node
counts as a member.
"""

import json
import sys
import time
from collections.abc import Sequence

import kombu
from amqp import exceptions
from amqp.basic_message import Message
from kombu.transport.base import StdChannel
from oslo_config import cfg

from broker_consumers import broker, read

QUEUE = "heat-members"
PAUSE = 1
# The exit status for a node that is not a member. Python and the shell use other values for their own failures.
NOT_A_MEMBER = 77
# Another engine may hold the message for a moment.
TRIES, RETRY_PAUSE = 20, 0.1


def publish(channel: StdChannel, nodes: Sequence[str]) -> None:
    """Publish the members in place of the previous message."""
    channel.queue_declare(QUEUE, durable=True, auto_delete=False, arguments={"x-max-length": 1})
    message = channel.prepare_message(json.dumps(sorted(nodes)).encode(), properties={"delivery_mode": 2})
    channel.basic_publish(message, exchange="", routing_key=QUEUE)
    # The broker has the message when it answers the next request.
    channel.queue_declare(QUEUE, passive=True)


def fetch(channel: StdChannel) -> Message | None:
    """Fetch the message, unacknowledged; None if there is no message, or another program holds it for too long."""
    for _ in range(TRIES):
        try:
            message = channel.basic_get(QUEUE)
        except exceptions.NotFound:
            return None
        if message:
            return message
        time.sleep(RETRY_PAUSE)
    return None


def parse(message: Message) -> list[str] | None:
    """The nodes in a message; None, and a line for the journal, if the message is no list of names."""
    try:
        known = json.loads(message.body)
    except (ValueError, RecursionError):
        known = None
    if isinstance(known, list) and known and all(isinstance(node, str) for node in known):
        return known
    print(f"The message in queue {QUEUE} is no list of nodes, and is ignored. pulumi up replaces it.", flush=True)
    return None


def read_members(channel: StdChannel) -> list[str] | None:
    """The members; None if there is no message, or the message cannot be read."""
    try:
        message = fetch(channel)
        if message is None:
            return None
        channel.basic_reject(message.delivery_tag, requeue=True)
    except (exceptions.ChannelError, exceptions.AMQPNotImplementedError) as error:
        # The login and the vhost are accepted, and an engine works without this queue.
        print(f"Queue {QUEUE} cannot be read, and is ignored: {error}", flush=True)
        return None
    return parse(message)


def explain_not_a_member(channel: StdChannel, node: str) -> str:
    """Explain why Heat must not start on this node; "" if the node is a member."""
    known = read_members(channel)
    if known is None or node in known:
        return ""
    return f"{node} is not a member of the deployment any more. The members are {', '.join(known)}."


def remove(channel: StdChannel, node: str) -> None:
    """Remove a node from the members; delete the queue with the last member, or if the message cannot be read."""
    message = fetch(channel)
    if message is None:
        return
    rest = [other for other in parse(message) or [] if other != node]
    if rest:
        publish(channel, rest)
        channel.basic_ack(message.delivery_tag)
    else:
        channel.queue_delete(QUEUE)


def wait_for_answer(conf: cfg.ConfigOpts, node: str) -> str:
    """Return `explain_not_a_member` as soon as the broker answers. The journal gets each new reason for the delay."""
    shown = ""
    while True:
        try:
            with broker(conf) as connection:
                connection.ensure_connection(max_retries=1)
                return explain_not_a_member(connection.default_channel, node)
        except (OSError, kombu.exceptions.KombuError, exceptions.AMQPError) as error:
            why = f"the broker cannot be asked whether {node} belongs to the deployment, trying again: {error!r}"
        if why != shown:
            print(why, flush=True)
            shown = why
        time.sleep(PAUSE)


def main() -> int:
    """Run the task; returns the exit status."""
    task, *rest = sys.argv[1:]
    split = rest.index("--")
    nodes, conf = rest[:split], read(rest[split + 1 :])
    if task == "ask":
        if why := wait_for_answer(conf, nodes[0]):
            print(why, flush=True)
            return NOT_A_MEMBER
        return 0
    try:
        with broker(conf) as connection:
            connection.ensure_connection(max_retries=1)
            if task == "tell":
                publish(connection.default_channel, nodes)
            else:
                remove(connection.default_channel, nodes[0])
    except (OSError, kombu.exceptions.KombuError, exceptions.AMQPError) as error:
        print(f"The broker does not accept the list of the deployment's nodes: {error!r}", file=sys.stderr)
        return 1
    return 0


# The caretaker imports this module: programs/heat/caretaker.py.
if __name__ == "__main__":
    sys.exit(main())
