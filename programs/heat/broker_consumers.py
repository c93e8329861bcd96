"""Ask the broker how many consumers its queues have. Run by Heat's own Python, with Heat's own login.

Usage: broker_consumers.py SECONDS CONFIG_FILE … -- QUEUE=COUNT … QUEUE=COUNT+ …

Waits for SECONDS at most until each queue has exactly COUNT consumers (COUNT+: or more, and the program prints the
surplus). Otherwise the program prints the differences, and fails.
A passive declaration is plain AMQP: it needs no management plugin, and works with any RabbitMQ.
"""

import ssl
import sys
import time
from collections.abc import Sequence
from urllib.parse import unquote, urlsplit

import kombu
from amqp.exceptions import AccessRefused, AMQPError, NotFound
from oslo_config import cfg

PAUSE = 0.5


def read(files: Sequence[str]) -> cfg.ConfigOpts:
    """The options that `broker` needs, as Heat reads them."""
    conf = cfg.ConfigOpts()
    conf.register_opt(cfg.StrOpt("transport_url", secret=True))
    conf.register_opts([cfg.BoolOpt("ssl", default=False), cfg.StrOpt("ssl_ca_file")], group="oslo_messaging_rabbit")
    conf([f"--config-file={path}" for path in files], project="heat", default_config_dirs=[])
    return conf


def broker(conf: cfg.ConfigOpts) -> kombu.Connection:
    """Connect to the first of transport_url's hosts that answers: rabbit://user:password@host:port,…/vhost."""
    parts, rabbit = urlsplit(conf.transport_url), conf.oslo_messaging_rabbit
    urls = [f"amqp://{host}{parts.path}" for host in parts.netloc.split(",")]
    tls = {"ca_certs": rabbit.ssl_ca_file, "cert_reqs": ssl.CERT_REQUIRED} if rabbit.ssl else False
    return kombu.Connection(";".join(urls), connect_timeout=5, ssl=tls)


def consumers(connection: kombu.Connection, queue: str) -> int:
    """The number of a queue's consumers; 0 if the queue does not exist."""
    # The broker closes a channel after it has refused a request.
    with connection.channel() as channel:
        try:
            return int(channel.queue_declare(queue, passive=True).consumer_count)
        except NotFound:
            return 0


def differences(expected: dict[str, str], found: dict[str, int]) -> list[str]:
    """A phrase for each queue with too few consumers, or with too many if COUNT is exact."""
    return [
        f"{queue} has {found[queue]} of {count}"
        for queue, count in expected.items()
        if found[queue] < int(count.rstrip("+")) or (found[queue] > int(count.rstrip("+")) and not count.endswith("+"))
    ]


def main() -> None:
    """Compare until there is no difference, or the time is up."""
    limit, *rest = sys.argv[1:]
    split = rest.index("--")
    files, expected = rest[:split], dict(pair.rsplit("=", 1) for pair in rest[split + 1 :])
    conf = read(files)
    where = f"at the broker, vhost {unquote(urlsplit(conf.transport_url).path[1:]) or '/'}"
    deadline = time.monotonic() + float(limit)
    while True:
        found: dict[str, int] = {}
        try:
            with broker(conf) as connection:
                connection.ensure_connection(max_retries=1)
                found = {queue: consumers(connection, queue) for queue in expected}
            problems = differences(expected, found)
        except AccessRefused:
            sys.exit("the broker refuses the login in transport_url")
        except (OSError, kombu.exceptions.KombuError, AMQPError) as error:
            problems = [f"the broker does not answer: {error!r}"]
        if not problems:
            break
        if time.monotonic() > deadline:
            sys.exit(f"consumers {where}: {'; '.join(problems)}")
        time.sleep(PAUSE)
    more = [f"{queue} has {found[queue]}" for queue, count in expected.items() if found[queue] > int(count.rstrip("+"))]
    if more:
        print(f"more consumers than planned {where}: {'; '.join(more)}")


# Other programs here import this module: programs/heat/caretaker.py.
if __name__ == "__main__":
    main()
