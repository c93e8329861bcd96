"""See that Heat's database, broker and cache let it in; make what may be made. Run by Heat's own Python.

Usage: reach.py, with a JSON object on stdin:
    database   url, as SQLAlchemy has it; admin_url, of a user who may make databases and users, or ""; key, Heat's
               auth_encryption_key, where it may be another than the one that the database was encrypted with
    broker     url, as oslo.messaging has it; ca, the certificates that it is checked against, or "" without TLS;
               admin_url, of RabbitMQ's management API, or ""; policy, of the queues that engines leave behind
    cache      memcached servers, each host:port

Prints a line for what it made. Every problem is told at once; passwords are not.
"""

import json
import socket
import ssl
import sys
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import kombu
import sqlalchemy as sa
from amqp.exceptions import AccessRefused, AMQPError, NotAllowed

from encrypted import refusal

TIMEOUT = 10
# Heat's own tables, of every release.
TABLES = {"stack", "resource", "raw_template", "event"}
# MySQL's error for a database that is not there.
UNKNOWN_DATABASE = 1049


def told(error: BaseException) -> str:
    """An error as its library tells it; SQLAlchemy adds a page of its own."""
    cause = getattr(error, "orig", None) or error
    arguments = getattr(cause, "args", ())
    return str(arguments[-1] if arguments else cause)


def make_database(url: sa.URL, admin_url: sa.URL) -> None:
    """The database of `url` and its user, with this password and no right elsewhere."""
    preparer = sa.create_engine(admin_url).dialect.identifier_preparer
    name = preparer.quote_identifier(url.database)
    pattern = preparer.quote_identifier(str(url.database).replace("_", "\\_"))
    account = {"user": url.username, "password": url.password}
    with sa.create_engine(admin_url, connect_args={"connect_timeout": TIMEOUT}).begin() as connection:
        connection.execute(sa.text(f"CREATE DATABASE IF NOT EXISTS {name} CHARACTER SET utf8mb4"))
        for statement in (
            "CREATE USER IF NOT EXISTS :user@'%' IDENTIFIED BY :password",
            "ALTER USER :user@'%' IDENTIFIED BY :password",
        ):
            connection.execute(sa.text(statement), account)
        connection.execute(
            sa.text(
                "GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, INDEX, REFERENCES, TRIGGER "
                f"ON {pattern}.* TO :user@'%'"
            ),
            {"user": url.username},
        )
    print(f"the database {url.database} is there, with its user {url.username}")


def refused_beforehand(url: sa.URL, key: str) -> str:
    """Why Heat may not use a database with this key, before its user gets another password; "" where there is none."""
    try:
        with sa.create_engine(url, connect_args={"connect_timeout": TIMEOUT}).connect() as connection:
            return refusal(connection, key) if key else ""
    except sa.exc.SQLAlchemyError:
        # It is not there yet, or what follows says what is wrong.
        return ""


def database_url(text: str) -> sa.URL:
    """The URL of a database.

    Raises:
        ValueError: it is none, or part of its password stands where its host is looked for.
    """
    try:
        url = sa.make_url(text)
    except sa.exc.ArgumentError:
        url = None
    if url is None or "@" in (url.host or ""):
        # Without what SQLAlchemy says: that may repeat the URL, with the password in it.
        raise ValueError("no URL of a database") from None
    return url


def database(spec: dict[str, str]) -> Iterator[str]:
    """What is wrong with the database."""
    try:
        url, admin = database_url(spec["url"]), database_url(spec["admin_url"]) if spec["admin_url"] else None
    except ValueError:
        yield "the URL of the database cannot be read: percent-encode what is special in its password"
        return
    where = f"the database at {url.host}:{url.port or 3306}"
    if admin:
        if refused := refused_beforehand(admin.set(database=url.database), spec.get("key", "")):
            yield f"{where}, {url.database}: {refused}"
            return
        try:
            make_database(url, admin)
        except sa.exc.SQLAlchemyError as error:
            yield f"{where} does not do as user {admin.username} asks: {told(error)}"
            return
    try:
        with sa.create_engine(url, connect_args={"connect_timeout": TIMEOUT}).connect() as connection:
            tables = set(sa.inspect(connection).get_table_names())
            refused = refusal(connection, spec["key"]) if spec.get("key") else ""
    except sa.exc.SQLAlchemyError as error:
        missing = (getattr(getattr(error, "orig", None), "args", None) or (0,))[0] == UNKNOWN_DATABASE
        hint = ", or have it made: control.manage" if missing else ""
        yield f"{where} does not let user {url.username} into {url.database}: {told(error)}{hint}"
        return
    if tables and not tables >= TABLES:
        some = ", ".join(sorted(tables)[:5])
        yield f"{where}: {url.database} is not Heat's, it has tables of something else ({some}): name another database"
    elif refused:
        yield f"{where}, {url.database}: {refused}"


def make_broker(spec: dict[str, Any], user: str, password: str, vhost: str) -> None:
    """The virtual host and its user, by RabbitMQ's management API."""
    parts = urlsplit(spec["admin_url"])
    root = f"{parts.scheme}://{parts.hostname}:{parts.port or 15672}/api"
    login = b64encode(f"{unquote(parts.username or '')}:{unquote(parts.password or '')}".encode()).decode()
    place = quote(vhost, safe="")
    context = ssl.create_default_context(cafile=spec["ca"]) if parts.scheme == "https" and spec["ca"] else None
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), *([urllib.request.HTTPSHandler(context=context)] if context else [])
    )
    for path, body in (
        (f"vhosts/{place}", {}),
        (f"users/{quote(user, safe='')}", {"password": password, "tags": ""}),
        (f"permissions/{place}/{quote(user, safe='')}", {"configure": ".*", "write": ".*", "read": ".*"}),
        (f"policies/{place}/heat-orphans", spec["policy"]),
    ):
        request = urllib.request.Request(  # noqa: S310 # http or https, checked with the settings
            f"{root}/{path}",
            data=json.dumps(body).encode(),
            method="PUT",
            headers={"Authorization": f"Basic {login}", "Content-Type": "application/json"},
        )
        opener.open(request, timeout=TIMEOUT).close()
    print(f"the virtual host {vhost} is there, with its user {user}")


def broker(spec: dict[str, Any]) -> Iterator[str]:
    """What is wrong with each of the brokers."""
    try:
        parts = urlsplit(spec["url"])
        servers = [urlsplit(f"//{one}") for one in parts.netloc.split(",")]
        ports = [server.port or 5672 for server in servers]
        urlsplit(spec["admin_url"]).port  # noqa: B018 # raises where it is none
    except ValueError:
        # The error would repeat the URL, with the password in it.
        yield "the URL of the broker cannot be read: percent-encode what is special in its password"
        return
    vhost = unquote(parts.path.removeprefix("/")) or "/"
    if spec["admin_url"]:
        first = servers[0]
        try:
            make_broker(spec, unquote(first.username or ""), unquote(first.password or ""), vhost)
        except OSError as error:
            where = urlsplit(spec["admin_url"])
            yield f"RabbitMQ's management API at {where.hostname}:{where.port or 15672} does not do as asked: {error}"
            return
    for server, port in zip(servers, ports, strict=True):
        where = f"the broker at {server.hostname}:{port}"
        connection = kombu.Connection(
            hostname=server.hostname,
            port=port,
            userid=unquote(server.username or ""),
            password=unquote(server.password or ""),
            virtual_host=vhost,
            connect_timeout=TIMEOUT,
            login_method="PLAIN",
            ssl={"ca_certs": spec["ca"], "cert_reqs": ssl.CERT_REQUIRED} if spec["ca"] else False,
        )
        try:
            with connection:
                connection.connect()
        except AccessRefused:
            yield f"{where} refuses the login of user {unquote(server.username or '')}"
        except NotAllowed:
            yield f"{where} has no virtual host {vhost} for user {unquote(server.username or '')}"
        except (OSError, AMQPError) as error:
            yield f"{where} does not answer: {error or type(error).__name__}"


def cache(servers: list[str]) -> Iterator[str]:
    """Which of the caches does not keep a value."""
    for server in servers:
        host, _, port = server.rpartition(":")
        try:
            with socket.create_connection((host.strip("[]"), int(port)), TIMEOUT) as connection:
                connection.sendall(b"set heat-scaleout 0 10 2\r\nok\r\nget heat-scaleout\r\n")
                answers = connection.makefile("rb")
                right = [answers.readline() for _ in range(2)] == [b"STORED\r\n", b"VALUE heat-scaleout 0 2\r\n"]
        except OSError as error:
            yield f"memcached at {server} does not answer: {error}"
        else:
            if not right:
                yield f"memcached at {server} does not keep a value"


def main() -> None:
    """Look at all of it."""
    spec = json.load(sys.stdin)
    looks: list[tuple[Callable[[Any], Iterator[str]], str]] = [
        (database, "database"),
        (broker, "broker"),
        (cache, "cache"),
    ]
    problems = [problem for look, name in looks for problem in look(spec[name])]
    if problems:
        sys.exit("the control plane cannot be used as it is:\n" + "\n".join(f"  * {problem}" for problem in problems))


main()
