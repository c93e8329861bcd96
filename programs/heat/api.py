"""What uWSGI loads for one of Heat's APIs: the API itself, and an answer for the time when no heat-engine is there.

Without an engine an API waits as long as it may for one, a minute, and then says 500; a few clients fill all of its
threads meanwhile. Here a thread asks the broker how many engines listen. Once there has been none for GRACE seconds,
requests that need one get 503 at once. What is not known, such as at a broker that does not answer, changes nothing.

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

# At the end: no program there is to stand in for a package of Heat's.
sys.path.append("/usr/local/lib/heat-scaleout")

# Where every engine listens for the APIs' questions.
QUEUE = "engine"
# A single engine that is restarted is back within this time, and requests wait for it.
GRACE = 30.0
# Seconds between two questions, and after how many an answer is too old to count.
PAUSE, STALE = 3.0, 15.0
MESSAGE = "No heat-engine is listening at the message broker. Start one, or ask the operator to."

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]


class Watch:
    """Since when no engine has been there, as far as is known."""

    def __init__(self) -> None:
        """Nothing is known."""
        self._known: tuple[float, float] | None = None

    def tell(self, engines: int, now: float) -> None:
        """Note how many engines there are."""
        if engines:
            self._known = None
        else:
            since, last = self._known or (now, now)
            # Nobody knows what was in between where nothing was heard for long.
            self._known = (since if now - last <= STALE else now, now)

    def absent(self, now: float) -> bool:
        """Whether it is certain that there has been no engine for GRACE seconds, up to now."""
        if self._known is None:
            return False
        since, last = self._known
        return now - since >= GRACE and now - last <= STALE


def needs_engine(environ: Environ) -> bool:
    """Whether a request is for more than the health check or the list of versions, which the API answers by itself."""
    first = environ.get("PATH_INFO", "").strip("/").partition("/")[0]
    return first not in ("", "healthcheck", "versions")


def refusal(*, cfn: bool) -> tuple[str, bytes]:
    """The type and the text of the answer, as Heat's own errors are."""
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


def guarded(application: Application, watch: Watch, *, cfn: bool) -> Application:
    """The application, which is not asked for what it cannot do."""
    kind, body = refusal(cfn=cfn)
    headers = [("Content-Type", kind), ("Content-Length", str(len(body))), ("Retry-After", str(int(GRACE)))]

    def answer(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if not (watch.absent(time.monotonic()) and needs_engine(environ)):
            return application(environ, start_response)
        # A connection that is closed before all has been read may take the answer with it.
        while environ["wsgi.input"].read(65536):
            pass
        start_response("503 Service Unavailable", headers)
        return [body]

    return answer


def look(watch: Watch, files: list[str]) -> None:
    """Ask the broker again and again, for as long as this process runs; one that does not answer tells nothing."""
    from broker_consumers import broker, consumers, read  # noqa: PLC0415 # its packages may be missing: see `start`

    conf = read(files)
    while True:
        try:
            with broker(conf) as connection:
                connection.ensure_connection(max_retries=1)
                while True:
                    watch.tell(consumers(connection, QUEUE), time.monotonic())
                    time.sleep(PAUSE)
        except Exception:  # noqa: S110 # of any kind: Heat's own log tells of its broker
            pass
        time.sleep(PAUSE)


def start(watch: Watch, files: list[str]) -> None:
    """Look from a thread of its own, which must not keep the API from starting, serving or stopping."""

    def run() -> None:
        try:
            look(watch, files)
        except Exception as error:  # such as a transport that is not RabbitMQ
            print(f"requests wait for an engine even where there is none: {error!r}", flush=True)

    threading.Thread(target=run, name="engine-watch", daemon=True).start()


def load(name: str) -> Application:
    """The API of Heat's."""
    if name.startswith("/"):
        program: Application = runpy.run_path(name, run_name="heat_application")["application"]
        return program
    module, _, attribute = name.partition(":")
    application: Application = getattr(importlib.import_module(module), attribute)
    return application


def config_files(words: list[str]) -> list[str]:
    """The files that `--config-file` names, each as a word of its own or behind "="."""
    files = []
    for word, after in pairwise([*words, ""]):
        if word == "--config-file":
            files.append(after)
        elif word.startswith("--config-file="):
            files.append(word.partition("=")[2])
    return files


def main() -> Application:
    """The API that the first argument names."""
    # Heat reads the others.
    name = sys.argv.pop(1)
    files = config_files(sys.argv)
    application, watch = load(name), Watch()
    start(watch, files)
    return guarded(application, watch, cfn="cfn" in name.rpartition("/")[2])


# uWSGI calls this file so, and no test does.
if __name__.startswith("uwsgi_file"):
    application = main()
