"""Which nodes belong to the deployment: a word at the broker, for all that starts on one. Run by Heat's own Python.

Usage: members.py tell NODE … -- CONFIG_FILE …
       members.py ask NODE -- CONFIG_FILE …
       members.py leave NODE -- CONFIG_FILE …

`ask` exits with STRANGER where the broker knows of members and NODE is none of them: a node that was down when it was
taken out, and has come back. While the broker does not answer, or refuses the login or the vhost, `ask` tries again and
says why. Where the broker answers and its word cannot be read, nobody is refused.
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
# The one exit status that says "this node is no member": Python and the shell use others for their own failures.
STRANGER = 77
# Another engine may just have it in hand, for a moment.
TRIES, MOMENT = 20, 0.1


def tell(channel: StdChannel, nodes: Sequence[str]) -> None:
    """Leave the word in the place of the one before."""
    channel.queue_declare(QUEUE, durable=True, auto_delete=False, arguments={"x-max-length": 1})
    word = channel.prepare_message(json.dumps(sorted(nodes)).encode(), properties={"delivery_mode": 2})
    channel.basic_publish(word, exchange="", routing_key=QUEUE)
    # The broker has it when it answers the next question.
    channel.queue_declare(QUEUE, passive=True)


def take(channel: StdChannel) -> Message | None:
    """Take the word in hand: None where there is none, and nobody else has it."""
    for _ in range(TRIES):
        try:
            word = channel.basic_get(QUEUE)
        except exceptions.NotFound:
            return None
        if word:
            return word
        time.sleep(MOMENT)
    return None


def names(word: Message) -> list[str] | None:
    """The nodes that the word names; None, and a line for the journal, where it is no list of names."""
    try:
        known = json.loads(word.body)
    except (ValueError, RecursionError):
        known = None
    if isinstance(known, list) and known and all(isinstance(node, str) for node in known):
        return known
    print(f"the message in queue {QUEUE} is no list of nodes, and is ignored; pulumi up replaces it", flush=True)
    return None


def members(channel: StdChannel) -> list[str] | None:
    """The nodes that the word names; None where there is none, or where it cannot be had."""
    try:
        word = take(channel)
        if word is None:
            return None
        channel.basic_reject(word.delivery_tag, requeue=True)
    except (exceptions.ChannelError, exceptions.AMQPNotImplementedError) as error:
        # The login and the vhost are fine, and an engine may do without this queue.
        print(f"queue {QUEUE} cannot be read, and is ignored: {error}", flush=True)
        return None
    return names(word)


def stranger(channel: StdChannel, node: str) -> str:
    """Why nothing of Heat is to start on this node; empty where it may."""
    known = members(channel)
    if known is None or node in known:
        return ""
    return f"{node} does not belong to the deployment any more, which is {', '.join(known)}"


def leave(channel: StdChannel, node: str) -> None:
    """Take a node out of the word; with the last one it goes, and so does a word that cannot be read."""
    word = take(channel)
    if word is None:
        return
    rest = [other for other in names(word) or [] if other != node]
    if rest:
        tell(channel, rest)
        channel.basic_ack(word.delivery_tag)
    else:
        channel.queue_delete(QUEUE)


def asked(conf: cfg.ConfigOpts, node: str) -> str:
    """What `stranger` says, as soon as the broker can be asked; the journal gets each new reason why it cannot."""
    told = ""
    while True:
        try:
            with broker(conf) as connection:
                connection.ensure_connection(max_retries=1)
                return stranger(connection.default_channel, node)
        except (OSError, kombu.exceptions.KombuError, exceptions.AMQPError) as error:
            why = f"the broker cannot be asked whether {node} belongs to the deployment, trying again: {error!r}"
        if why != told:
            print(why, flush=True)
            told = why
        time.sleep(PAUSE)


def main() -> int:
    """Tell, ask or leave; gives the exit status."""
    task, *rest = sys.argv[1:]
    split = rest.index("--")
    nodes, conf = rest[:split], read(rest[split + 1 :])
    if task == "ask":
        if why := asked(conf, nodes[0]):
            print(why, flush=True)
            return STRANGER
        return 0
    try:
        with broker(conf) as connection:
            connection.ensure_connection(max_retries=1)
            if task == "tell":
                tell(connection.default_channel, nodes)
            else:
                leave(connection.default_channel, nodes[0])
    except (OSError, kombu.exceptions.KombuError, exceptions.AMQPError) as error:
        print(f"the broker does not take the word of which nodes belong to the deployment: {error!r}", file=sys.stderr)
        return 1
    return 0


# The caretaker asks in the same way: programs/heat/caretaker.py.
if __name__ == "__main__":
    sys.exit(main())
