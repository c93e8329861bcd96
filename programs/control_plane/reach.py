"""Check that Heat's database, broker and cache accept its logins; make what may be made. Run by Heat's own Python.

Usage: reach.py, with a JSON object on stdin:
    database   url, in SQLAlchemy's form; admin_url, of a user who may make databases and users, or ""; key, Heat's
               auth_encryption_key, if the database may be encrypted with another key; connections, what the engines may
               open: workers, each, and a remedy if the database allows fewer
    broker     url, in oslo.messaging's form; ca, the path of the certificates that the broker is verified with, or ""
               without TLS; admin_url, of RabbitMQ's management API, or ""; policy, for the queues of dead engines
    cache      memcached servers, each host:port

Prints a line for everything that it made. Reports all problems at once, without passwords.
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

from encrypted import explain_wrong_key

TIMEOUT = 10
# Heat's own tables, of every release.
TABLES = {"stack", "resource", "raw_template", "event"}
# MySQL's error for a database that does not exist.
UNKNOWN_DATABASE = 1049


def describe(error: BaseException) -> str:
    """The message of the database's library, without SQLAlchemy's additions."""
    cause = getattr(error, "orig", None) or error
    arguments = getattr(cause, "args", ())
    return str(arguments[-1] if arguments else cause)


def make_database(url: sa.URL, admin_url: sa.URL) -> None:
    """Make the database of `url` and its user, with this password and without rights elsewhere."""
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
    print(f"The database {url.database} exists, with its user {url.username}.")


def explain_wrong_key_as_admin(url: sa.URL, key: str) -> str:
    """Explain why Heat must not use a database with this key, before its user gets another password; "" if it may."""
    try:
        with sa.create_engine(url, connect_args={"connect_timeout": TIMEOUT}).connect() as connection:
            return explain_wrong_key(connection, key) if key else ""
    except sa.exc.SQLAlchemyError:
        # The database does not exist yet, or a later check reports the problem.
        return ""


def database_url(text: str) -> sa.URL:
    """Parse the URL of a database.

    Raises:
        ValueError: the text is no URL, or part of the password is parsed as the host.
    """
    try:
        url = sa.make_url(text)
    except sa.exc.ArgumentError:
        url = None
    if url is None or "@" in (url.host or ""):
        # Without SQLAlchemy's message, which may have the URL with the password.
        raise ValueError("no URL of a database") from None
    return url


def explain_few_connections(connection: sa.Connection, workers: int, each: int, remedy: str) -> str:
    """Explain why a database allows too few connections for the engines; "" if it allows enough.

    Other clients of the server need connections too. How many is unknown, so they are not counted.
    """
    if connection.dialect.name != "mysql":
        return ""
    server, user = connection.execute(sa.text("SELECT @@max_connections, @@max_user_connections")).one()
    # 0: no limit for one user.
    limit, name = min((server, "max_connections"), (user or server, "max_user_connections"))
    if workers * each <= limit:
        return ""
    return (
        f"allows {limit} connections ({name}): {limit // each} of the {workers} planned engine workers fit, because "
        f"each may open {each}. {remedy}"
    )


def database(spec: dict[str, Any]) -> Iterator[str]:
    """Find the problems of the database."""
    try:
        url, admin = database_url(spec["url"]), database_url(spec["admin_url"]) if spec["admin_url"] else None
    except ValueError:
        yield "the URL of the database cannot be read: percent-encode the special characters in its password"
        return
    where = f"the database at {url.host}:{url.port or 3306}"
    if admin:
        if refused := explain_wrong_key_as_admin(admin.set(database=url.database), spec.get("key", "")):
            yield f"{where}, {url.database}: {refused}"
            return
        try:
            make_database(url, admin)
        except sa.exc.SQLAlchemyError as error:
            yield f"{where} refuses a change by user {admin.username}: {describe(error)}"
            return
    try:
        with sa.create_engine(url, connect_args={"connect_timeout": TIMEOUT}).connect() as connection:
            tables = set(sa.inspect(connection).get_table_names())
            refused = explain_wrong_key(connection, spec["key"]) if spec.get("key") else ""
            few = explain_few_connections(connection, **spec["connections"])
    except sa.exc.SQLAlchemyError as error:
        missing = (getattr(getattr(error, "orig", None), "args", None) or (0,))[0] == UNKNOWN_DATABASE
        hint = ". Make the database, or let this program make it: control.manage" if missing else ""
        yield f"{where} refuses user {url.username} in {url.database}: {describe(error)}{hint}"
        return
    if tables and not tables >= TABLES:
        some = ", ".join(sorted(tables)[:5])
        yield f"{where}: {url.database} has tables of another program ({some}): configure another database"
    elif refused:
        yield f"{where}, {url.database}: {refused}"
    if few:
        yield f"{where} {few}"


def make_broker(spec: dict[str, Any], user: str, password: str, vhost: str) -> None:
    """Make the vhost and its user, by RabbitMQ's management API."""
    parts = urlsplit(spec["admin_url"])
    root = f"{parts.scheme}://{parts.hostname}:{parts.port or 15672}/api"
    login = b64encode(f"{unquote(parts.username or '')}:{unquote(parts.password or '')}".encode()).decode()
    quoted_vhost = quote(vhost, safe="")
    context = ssl.create_default_context(cafile=spec["ca"]) if parts.scheme == "https" and spec["ca"] else None
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), *([urllib.request.HTTPSHandler(context=context)] if context else [])
    )
    for path, body in (
        (f"vhosts/{quoted_vhost}", {}),
        (f"users/{quote(user, safe='')}", {"password": password, "tags": ""}),
        (f"permissions/{quoted_vhost}/{quote(user, safe='')}", {"configure": ".*", "write": ".*", "read": ".*"}),
        (f"policies/{quoted_vhost}/heat-orphans", spec["policy"]),
    ):
        request = urllib.request.Request(  # noqa: S310 # http or https, checked with the settings
            f"{root}/{path}",
            data=json.dumps(body).encode(),
            method="PUT",
            headers={"Authorization": f"Basic {login}", "Content-Type": "application/json"},
        )
        opener.open(request, timeout=TIMEOUT).close()
    print(f"The virtual host {vhost} exists, with its user {user}.")


def broker(spec: dict[str, Any]) -> Iterator[str]:
    """Find the problems of each broker."""
    try:
        parts = urlsplit(spec["url"])
        servers = [urlsplit(f"//{one}") for one in parts.netloc.split(",")]
        ports = [server.port or 5672 for server in servers]
        urlsplit(spec["admin_url"]).port  # noqa: B018 # raises for a text that is no port
    except ValueError:
        # The error has the URL with the password.
        yield "the URL of the broker cannot be read: percent-encode the special characters in its password"
        return
    vhost = unquote(parts.path.removeprefix("/")) or "/"
    if spec["admin_url"]:
        first = servers[0]
        try:
            make_broker(spec, unquote(first.username or ""), unquote(first.password or ""), vhost)
        except OSError as error:
            where = urlsplit(spec["admin_url"])
            yield f"RabbitMQ's management API at {where.hostname}:{where.port or 15672} refuses a change: {error}"
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
    """Find the problems of each cache."""
    for server in servers:
        host, _, port = server.rpartition(":")
        try:
            with socket.create_connection((host.strip("[]"), int(port)), TIMEOUT) as connection:
                connection.sendall(b"set heat-scaleout 0 10 2\r\nok\r\nget heat-scaleout\r\n")
                answers = connection.makefile("rb")
                stored = [answers.readline() for _ in range(2)] == [b"STORED\r\n", b"VALUE heat-scaleout 0 2\r\n"]
        except OSError as error:
            yield f"memcached at {server} does not answer: {error}"
        else:
            if not stored:
                yield f"memcached at {server} does not store a value"


def main() -> None:
    """Check everything, and report the problems."""
    spec = json.load(sys.stdin)
    checks: list[tuple[Callable[[Any], Iterator[str]], str]] = [
        (database, "database"),
        (broker, "broker"),
        (cache, "cache"),
    ]
    problems = [problem for check, name in checks for problem in check(spec[name])]
    if problems:
        sys.exit("the control plane cannot be used as it is:\n" + "\n".join(f"  * {problem}" for problem in problems))


main()
