"""The WSGI application for one of Heat's APIs: the API itself, and an answer for the time without a heat-engine.

Without an engine an API waits until its timeout, a minute, and then answers 500; a few clients fill all of its threads
meanwhile. Here a thread asks the broker for the number of engines. After GRACE seconds without an engine, requests that
need one get 503 at once. While the number is not known, as at a broker that does not answer, nothing changes.

The first argument (uWSGI's pyargv) is a module of Heat's and a name in it (heat.wsgi.api:application), or the path of a
program that has an `application`. The others name Heat's configuration files, as for heat-engine.
"""

import importlib
import json
import runpy
import sys
import threading
import time
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

# At the end: no program there may hide a package of Heat's.
sys.path.append("/usr/local/lib/heat-scaleout")

# The queue where every engine listens for the APIs' requests.
QUEUE = "engine"
# A single engine restarts within this time, and requests wait for it.
GRACE = 30.0
# Seconds between two requests to the broker, and the age from which an answer no longer counts.
PAUSE, STALE = 3.0, 15.0
MESSAGE = "No heat-engine is listening at the message broker. Start one, or ask the operator to."

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]


class Watch:
    """Since when there has been no engine, as far as is known."""

    def __init__(self) -> None:
        """Start without any knowledge."""
        self._known: tuple[float, float] | None = None

    def record(self, engines: int, now: float) -> None:
        """Record the number of engines at a time."""
        if engines:
            self._known = None
        else:
            since, last = self._known or (now, now)
            # After a long time without an answer it is unknown whether an engine was there in between.
            self._known = (since if now - last <= STALE else now, now)

    def absent(self, now: float) -> bool:
        """Whether it is certain that there has been no engine for GRACE seconds, up to now."""
        if self._known is None:
            return False
        since, last = self._known
        return now - since >= GRACE and now - last <= STALE


def needs_engine(environ: Environ) -> bool:
    """Whether a request needs an engine. The API answers the health check and the list of versions by itself."""
    first = environ.get("PATH_INFO", "").strip("/").partition("/")[0]
    return first not in ("", "healthcheck", "versions")


def refusal(*, cfn: bool) -> tuple[str, bytes]:
    """The content type and the body of the answer, in the form of Heat's own errors."""
    if cfn:
        error = f"<Type>Server</Type><Code>ServiceUnavailable</Code><Message>{MESSAGE}</Message>"
        return "application/xml", f"<ErrorResponse><Error>{error}</Error></ErrorResponse>".encode()
    body = {
        "code": 503,
        "title": "Service Unavailable",
        "explanation": "The server is currently unavailable. Please try again at a later time.",
        "error": {"type": "HTTPServiceUnavailable", "message": MESSAGE, "traceback": None},
    }
    return "application/json", json.dumps(body).encode()


def guard(application: Application, watch: Watch, *, cfn: bool) -> Application:
    """Wrap an application: requests that need an engine get 503 while there is none."""
    kind, body = refusal(cfn=cfn)
    headers = [("Content-Type", kind), ("Content-Length", str(len(body))), ("Retry-After", str(int(GRACE)))]

    def answer(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if not (watch.absent(time.monotonic()) and needs_engine(environ)):
            return application(environ, start_response)
        # A connection that is closed before the request is read may lose the answer.
        while environ["wsgi.input"].read(65536):
            pass
        start_response("503 Service Unavailable", headers)
        return [body]

    return answer


def watch_broker(watch: Watch, files: list[str]) -> None:
    """Ask the broker for the number of engines, for as long as this process runs."""
    from broker_consumers import broker, consumers, read  # noqa: PLC0415 # its packages may be missing: see `start`

    conf = read(files)
    while True:
        try:
            with broker(conf) as connection:
                connection.ensure_connection(max_retries=1)
                while True:
                    watch.record(consumers(connection, QUEUE), time.monotonic())
                    time.sleep(PAUSE)
        except Exception:  # noqa: S110 # of any kind: Heat's own log reports problems with the broker
            pass
        time.sleep(PAUSE)


def start(watch: Watch, files: list[str]) -> None:
    """Watch the broker from a separate thread, which must not keep the API from starting, serving or stopping."""

    def run() -> None:
        try:
            watch_broker(watch, files)
        except Exception as error:  # such as a transport that is not RabbitMQ
            print(f"Requests without an engine will wait, because the broker is not watched: {error!r}", flush=True)

    threading.Thread(target=run, name="engine-watch", daemon=True).start()


def load(name: str) -> Application:
    """Load Heat's API."""
    if name.startswith("/"):
        program: Application = runpy.run_path(name, run_name="heat_application")["application"]
        return program
    module, _, attribute = name.partition(":")
    application: Application = getattr(importlib.import_module(module), attribute)
    return application


def config_files(words: list[str]) -> list[str]:
    """The files of all `--config-file` options, after a blank or after "="."""
    files = []
    for word, after in pairwise([*words, ""]):
        if word == "--config-file":
            files.append(after)
        elif word.startswith("--config-file="):
            files.append(word.partition("=")[2])
    return files


def main() -> Application:
    """The API of the first argument."""
    # Heat reads the other arguments.
    name = sys.argv.pop(1)
    files = config_files(sys.argv)
    application, watch = load(name), Watch()
    start(watch, files)
    return guard(application, watch, cfn="cfn" in name.rpartition("/")[2])


# The module's name under uWSGI. Tests use another one.
if __name__.startswith("uwsgi_file"):
    application = main()
