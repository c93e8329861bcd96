"""Which nodes belong to the deployment: a word at the broker, for all that starts on one. Run by Heat's own Python.

Usage: members.py tell NODE … -- CONFIG_FILE …
       members.py ask NODE -- CONFIG_FILE …
       members.py leave NODE -- CONFIG_FILE …

`ask` fails where the broker knows of members and NODE is none of them: one that was down when it was taken out, and has
come back. It waits for a broker that does not answer, as an engine does.
"""

import json
import sys
import time
from collections.abc import Sequence

import kombu
from amqp.basic_message import Message
from amqp.exceptions import NotFound
from kombu.transport.base import StdChannel

from broker_consumers import broker, read

QUEUE = "heat-members"
PAUSE = 1
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
        except NotFound:
            return None
        if word:
            return word
        time.sleep(MOMENT)
    return None


def members(channel: StdChannel) -> list[str] | None:
    """The nodes that the word names; None where there is none."""
    word = take(channel)
    if word is None:
        return None
    channel.basic_reject(word.delivery_tag, requeue=True)
    return [str(node) for node in json.loads(word.body)]


def stranger(channel: StdChannel, node: str) -> str:
    """Why nothing of Heat is to start on this node; empty where it may."""
    known = members(channel)
    if known is None or node in known:
        return ""
    return f"{node} does not belong to the deployment any more, which is {', '.join(known)}"


def leave(channel: StdChannel, node: str) -> None:
    """Take a node out of the word; with the last one it goes."""
    word = take(channel)
    if word is None:
        return
    rest = [other for other in json.loads(word.body) if other != node]
    if rest:
        tell(channel, rest)
        channel.basic_ack(word.delivery_tag)
    else:
        channel.queue_delete(QUEUE)


def main() -> None:
    """Tell, ask or leave."""
    task, *rest = sys.argv[1:]
    split = rest.index("--")
    nodes, conf = rest[:split], read(rest[split + 1 :])
    while True:
        try:
            with broker(conf) as connection:
                connection.ensure_connection(max_retries=1)
                if task == "tell":
                    tell(connection.default_channel, nodes)
                    return
                if task == "leave":
                    leave(connection.default_channel, nodes[0])
                    return
                why = stranger(connection.default_channel, nodes[0])
        except (OSError, kombu.exceptions.OperationalError) as error:
            if task != "ask":
                sys.exit(f"the broker does not answer: {error}")
            time.sleep(PAUSE)
            continue
        if why:
            sys.exit(why)
        return


# The caretaker asks in the same way: templates/heat/caretaker.py.
if __name__ == "__main__":
    main()
