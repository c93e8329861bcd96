"""Create and delete stacks as a client does, and wait for them. One poll asks for all stacks of a case."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from tests.faults.client import Answer, Client, UnansweredError
from tests.faults.cloud import Cloud

# Seconds between two polls: a share of the elapsed time, within bounds. Each poll costs an engine some work.
_POLL_SHARE, _POLL_LEAST, _POLL_MOST = 0.02, 0.1, 1.0
# Concurrent requests for new stacks.
_AT_ONCE = 16
_TRIES = 5
_MINUTES = 60

GONE = ("", "DELETE_COMPLETE")


class FailedError(Exception):
    """A stack was refused, failed, or was not complete in time. The message has the reason."""


@dataclass(frozen=True)
class Made:
    """A stack that Heat has accepted."""

    name: str
    id: str


class Heat:
    """A client of the ReST API with several connections.

    Args:
        cloud: the cloud under load.
        sources: the client's own addresses, in turn; if empty, the kernel chooses.
    """

    def __init__(self, cloud: Cloud, sources: Sequence[str] = ()) -> None:
        self._cloud = cloud
        self._base = f"/v1/{cloud.project}/stacks"
        self._sources = itertools.cycle(sources or [""])
        self._own = threading.local()
        self._pool = ThreadPoolExecutor(_AT_ONCE)

    def create(self, templates: dict[str, dict[str, Any]]) -> list[Made]:
        """Ask for stacks by name, all at once.

        Raises:
            FailedError: Heat has refused one. Those that were accepted are deleted.
        """
        asked = [self._pool.submit(self._create, name, template) for name, template in templates.items()]
        wait(asked)
        made = [one.result() for one in asked if not one.exception()]
        if len(made) < len(asked):
            self.delete(made)
        return [one.result() for one in asked]

    def delete(self, stacks: Iterable[Made]) -> None:
        """Ask for the deletion of stacks, all at once."""
        list(self._pool.map(self._delete, stacks))

    def created(self, stacks: Collection[Made], seconds: float) -> None:
        """Wait until stacks are complete.

        Raises:
            FailedError: one of them is not, and why.
        """
        self._wait(stacks, seconds, "CREATE_COMPLETE")

    def deleted(self, stacks: Collection[Made], seconds: float) -> None:
        """Wait until stacks are gone.

        Raises:
            FailedError: one of them is not, and why.
        """
        self._wait(stacks, seconds, *GONE)

    def states(self, stacks: Iterable[Made]) -> dict[str, tuple[str, str]]:
        """State and reason by the stack's id, without stacks that do not exist."""
        query = urlencode([*(("id", stack.id) for stack in stacks), ("show_deleted", "true")])
        answer = self._ask("GET", f"{self._base}?{query}", tries=_TRIES)
        if answer.status != 200:
            raise FailedError(f"GET of stacks: {_shown(answer)}")
        return {
            one["id"]: (one["stack_status"], one.get("stack_status_reason") or "")
            for one in json.loads(answer.body)["stacks"]
        }

    def ask_until(self, until: float, path: str, clients: int) -> list[Answer]:
        """Have some clients send one GET after the other, each on a connection of its own, which it keeps.

        Args:
            until: when they end, by time.monotonic().
            path: below the project's.
            clients: how many.

        Raises:
            FailedError: a request was not answered.
        """
        whole = f"/v1/{self._cloud.project}{path}"

        def client(_: int) -> list[Answer]:
            answers = []
            while time.monotonic() < until:
                answers.append(self._ask("GET", whole))
            return answers

        with ThreadPoolExecutor(clients) as pool:
            return [answer for answers in pool.map(client, range(clients)) for answer in answers]

    def left(self, prefix: str) -> list[Made]:
        """The stacks whose names have this prefix: leftovers of a killed run."""
        answer = self._ask("GET", self._base, tries=_TRIES)
        if answer.status != 200:
            raise FailedError(f"GET of stacks: {_shown(answer)}")
        listed = json.loads(answer.body)["stacks"]
        return [Made(one["stack_name"], one["id"]) for one in listed if one["stack_name"].startswith(prefix)]

    def _wait(self, stacks: Collection[Made], seconds: float, *expected: str) -> None:
        began = time.monotonic()
        waiting = {stack.id: stack for stack in stacks}
        while waiting:
            found = self.states(waiting.values())
            for identity, stack in list(waiting.items()):
                state, reason = found.get(identity, ("", ""))
                if state in expected:
                    del waiting[identity]
                elif state.endswith("_FAILED") or not state:
                    raise FailedError(f"{stack.name}: {state or 'it is gone'} {reason}".strip())
            gone_by = time.monotonic() - began
            if waiting and gone_by > seconds:
                raise FailedError(
                    f"not done within {seconds:.0f} s: {len(waiting)} of {len(stacks)} stacks are still in progress"
                )
            if waiting:
                time.sleep(min(max(_POLL_SHARE * gone_by, _POLL_LEAST), _POLL_MOST))

    def _create(self, name: str, template: dict[str, Any]) -> Made:
        body = {"stack_name": name, "template": template, "timeout_mins": _MINUTES, "disable_rollback": True}
        answer = self._ask("POST", self._base, json.dumps(body).encode())
        if answer.status != 201:
            raise FailedError(f"{name} was refused: {_shown(answer)}")
        return Made(name, json.loads(answer.body)["stack"]["id"])

    def _delete(self, stack: Made) -> None:
        answer = self._ask("DELETE", f"{self._base}/{stack.name}/{stack.id}", tries=_TRIES)
        if answer.status not in (204, 404):
            raise FailedError(f"DELETE of {stack.name}: {_shown(answer)}")

    def _ask(self, method: str, path: str, body: bytes = b"", tries: int = 1) -> Answer:
        """Send a request, with retries if they do no harm: the benchmark measures speed, not reliability."""
        while True:
            tries -= 1
            try:
                answer = self._client().ask(method, path, self._cloud.rest(), body)
            except UnansweredError as error:
                if not tries:
                    raise FailedError(f"{method} {path.partition('?')[0]}: {error}") from error
            else:
                if answer.status < 500 or not tries:
                    return answer
            time.sleep(0.5)

    def _client(self) -> Client:
        if not hasattr(self._own, "client"):
            where = self._cloud.api
            assert where.hostname
            self._own.client = Client(where.hostname, where.port or 80, kept=True, source=next(self._sources))
        client: Client = self._own.client
        return client


def _shown(answer: Answer) -> str:
    """Heat's reason for a refusal, if it gives one."""
    try:
        return f"{answer.status} {json.loads(answer.body)['error']['message']}"
    except (ValueError, KeyError, TypeError):
        return f"{answer.status} {answer.body[:300]!r}"
