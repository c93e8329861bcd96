"""A steady load on both APIs that checks every answer.

Readers ask for what does not change, so that a wrong answer shows. Meanwhile stacks are created, updated and deleted,
and every stack is accounted for. Both are limited in rate and number, and light: a reader waits for its answer before
it asks again.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from tests.faults.client import Answer, Client, UnansweredError
from tests.faults.cloud import Cloud

_POLL = 1.0
# How many bytes of a wrong answer are kept.
_SHOWN = 4000
# Heat's reason for a resource whose engine died while working on it.
_HIT = b"Worker went down"


def chance(*seed: object) -> random.Random:
    """Random numbers that are the same for the same seed."""
    return random.Random("-".join(map(str, seed)))  # noqa: S311 # nothing here is secret


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A request that failed or got a wrong answer.

    `began` and `ended` come from time.time. `port` is the client's, `to` the server's. `status` is 0 without an answer.
    """

    began: float
    ended: float
    port: int
    to: int
    method: str
    path: str
    status: int
    what: str


@dataclass
class Window:
    """The requests of a period. `seconds` are those of the correct answers."""

    name: str
    sent: int = 0
    retried: int = 0
    failures: list[Failure] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def percentile(self, percent: int) -> float:
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) * percent // 100, len(ordered) - 1)] if ordered else 0.0


class Record:
    """Counts every request, in the window in which it was sent."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.window = Window("")

    def begin(self, name: str) -> Window:
        with self._lock:
            self.window = Window(name)
            return self.window

    def ask(
        self,
        client: Client,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes = b"",
        *,
        check: Callable[[Answer], str],
    ) -> Answer | None:
        """Send a request and check its answer. `check` returns what is wrong, or "". Returns None for a failure."""
        window = self.window
        began = time.time()
        answer, port, retried = None, 0, False
        try:
            answer = client.ask(method, path, headers, body)
            port, retried = answer.port, answer.retried
            wrong = check(answer)
        except UnansweredError as error:
            wrong, port = str(error), error.port
        with self._lock:
            window.sent += 1
            window.retried += retried
            if wrong:
                window.failures.append(
                    Failure(
                        began=began,
                        ended=time.time(),
                        port=port,
                        to=client.port,
                        method=method,
                        path=path,
                        status=answer.status if answer else 0,
                        what=wrong,
                    )
                )
            elif answer:
                window.seconds.append(answer.seconds)
        return None if wrong else answer


def _shown(answer: Answer) -> str:
    """An answer for the report. Heat's errors have their message after a traceback."""
    return f"{answer.status} {answer.body[:_SHOWN]!r}"


def status(*expected: int) -> Callable[[Answer], str]:
    """Check that an answer has one of these statuses."""
    return lambda answer: "" if answer.status in expected else _shown(answer)


def shows(expected: int, fits: Callable[[Any], bool]) -> Callable[[Answer], str]:
    """Check that an answer has this status, and JSON that fits."""

    def judge(answer: Answer) -> str:
        if answer.status != expected:
            return _shown(answer)
        try:
            return "" if fits(json.loads(answer.body)) else f"wrong content: {_shown(answer)}"
        except (ValueError, KeyError, TypeError) as error:
            return f"wrong content ({error}): {_shown(answer)}"

    return judge


def has(*parts: bytes) -> Callable[[Answer], str]:
    """Check that an answer has status 200 and contains all of these."""

    def judge(answer: Answer) -> str:
        if answer.status == 200 and all(part in answer.body for part in parts):
            return ""
        return _shown(answer)

    return judge


def template(value: str, waits: Iterable[float]) -> dict[str, Any]:
    """A template with a random string and a chain of resources, each of which waits for so many seconds."""
    resources: dict[str, Any] = {"random": {"type": "OS::Heat::RandomString"}}
    for number, seconds in enumerate(waits):
        properties = {"value": f"{value}-{number}", "wait_secs": seconds}
        resources[f"wait-{number}"] = {"type": "OS::Heat::TestResource", "properties": properties}
        if number:
            resources[f"wait-{number}"]["depends_on"] = [f"wait-{number - 1}"]
    return {"heat_template_version": "2018-08-31", "resources": resources}


@dataclass
class Life:
    """The life of a stack, from creation to deletion.

    `end` is "complete", "refused" (its creation failed and it does not exist), "lost" (accepted, and does not exist),
    "stuck" (IN_PROGRESS for too long) or "failed" (Heat reports so, with `reason`). `hit`: an engine died while it
    worked on one of the stack's resources, and another engine replaced that resource.
    """

    name: str
    window: Window
    end: str = ""
    hit: bool = False
    seconds: float = 0.0
    reason: str = ""


class Load:
    """The load.

    Args:
        cloud: the cloud under load.
        seed: for the random numbers.
        sources: the clients' own addresses, in turn; if empty, the kernel chooses.
        reads: requests of the readers per second.
        stacks: new stacks per second.
        patience: seconds that a stack may be IN_PROGRESS before it counts as stuck.
        most: the maximum number of stacks at once.
    """

    def __init__(
        self,
        cloud: Cloud,
        *,
        seed: str,
        sources: Sequence[str],
        reads: float,
        stacks: float,
        patience: float,
        most: int = 8,
    ) -> None:
        self.record = Record()
        self.lives: list[Life] = []
        self._cloud, self._seed = cloud, seed
        self._sources = list(sources) or [""]
        self._reads, self._stacks, self._patience, self._most = reads, stacks, patience, most
        self._stop = threading.Event()
        self._spawning = threading.Event()
        self._threads: list[threading.Thread] = []
        self._anchors: list[tuple[str, str]] = []
        self._base = f"/v1/{cloud.project}/stacks"

    def client(self, number: int, *, kept: bool, cfn: bool = False) -> Client:
        where = self._cloud.cfn if cfn else self._cloud.api
        assert where.hostname
        return Client(where.hostname, where.port or 80, kept=kept, source=self._sources[number % len(self._sources)])

    def start(self) -> None:
        """Create the stacks that the readers ask for, and start reading."""
        for number in range(2):
            life = self._begin(f"anchor-{self._seed}-{number}")
            identity = self._create(life, self.client(number, kept=False), template("anchor", []), self._patience)
            assert identity, f"creating a stack failed before the first fault: {self.record.window.failures}"
            self._anchors.append((life.name, identity))
        self.lives.clear()
        # Four ReST clients to one CFN client, because Keystone has to check every CFN request.
        readers = [(number, number % 2 == 0, number % 5 == 4) for number in range(10)]
        for number, kept, cfn in readers:
            self._spawn(self._read, number, kept, cfn, len(readers) / self._reads)
        self._spawn(self._start_lives)

    def stop(self) -> None:
        """End the load, and delete the stacks that the readers asked for."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        client = self.client(0, kept=False)
        for name, identity in self._anchors:
            self._ask(client, "DELETE", f"{self._base}/{name}/{identity}", check=status(204))

    def pause(self, seconds: float) -> list[Life]:
        """Start no more stacks, and wait for those in progress; readers continue. Returns those that have not ended."""
        self._spawning.clear()
        deadline = time.monotonic() + seconds
        while (left := [life for life in self.lives if not life.end]) and time.monotonic() < deadline:
            time.sleep(0.2)
        return left

    def resume(self) -> None:
        """Start new stacks again."""
        self._spawning.set()

    def stack_succeeds(self) -> bool:
        """Create a stack and delete it; whether both succeed."""
        life = Life(f"probe-{self._seed}-{time.monotonic_ns()}", self.record.window)
        client = self.client(0, kept=False)
        identity = self._create(life, client, template("probe", []), patience=30)
        if not identity:
            return False
        return self._delete(life, client, identity, patience=30)

    def _spawn(self, target: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _read(self, number: int, kept: bool, cfn: bool, pause: float) -> None:
        chosen = chance(self._seed, "reader", number)
        client = self.client(number, kept=kept, cfn=cfn)
        time.sleep(chosen.uniform(0, pause))
        due = time.monotonic()
        while not self._stop.is_set():
            if cfn:
                self._read_cfn(client, chosen)
            else:
                self._read_rest(client, chosen)
            # A reader that falls behind does not catch up: that would be a burst.
            due = max(due + pause, time.monotonic())
            self._stop.wait(due - time.monotonic())

    def _ask(
        self, client: Client, method: str, path: str, body: Any = None, *, check: Callable[[Answer], str]
    ) -> Answer | None:
        text = json.dumps(body).encode() if body is not None else b""
        return self.record.ask(client, method, path, self._cloud.rest(), text, check=check)

    def _read_rest(self, client: Client, chosen: random.Random) -> None:
        name, identity = chosen.choice(self._anchors)
        path = f"{self._base}/{name}/{identity}"
        match chosen.randrange(4):
            case 0:
                check = shows(200, lambda found: [one["id"] for one in found["stacks"]] == [identity])
                self._ask(client, "GET", f"{self._base}?name={quote(name)}", check=check)
            case 1:
                check = shows(200, lambda found: {name for name, _ in self._anchors} <= _names(found))
                self._ask(client, "GET", f"{self._base}?sort_keys=created_at&sort_dir=asc&limit=200", check=check)
            case 2:
                check = shows(
                    200,
                    lambda found: (
                        (found["stack"]["id"], found["stack"]["stack_status"]) == (identity, "CREATE_COMPLETE")
                    ),
                )
                self._ask(client, "GET", path, check=check)
            case _:
                check = shows(200, lambda found: [one["resource_name"] for one in found["resources"]] == ["random"])
                self._ask(client, "GET", f"{path}/resources", check=check)

    def _read_cfn(self, client: Client, chosen: random.Random) -> None:
        name, identity = chosen.choice(self._anchors)
        # boto3 sends POST; a GET with a query means the same, and may be repeated.
        method = chosen.choice(["GET", "POST"])
        if chosen.randrange(2):
            path, headers, body = self._cloud.signed(method, "ListStacks")
            check = has(b"<ListStacksResponse", *(anchor.encode() for anchor, _ in self._anchors))
        else:
            path, headers, body = self._cloud.signed(method, "DescribeStacks", StackName=name)
            check = has(f"{name}/{identity}<".encode(), b"<StackStatus>CREATE_COMPLETE<")
        self.record.ask(client, method, path, headers, body, check=check)

    def _begin(self, name: str) -> Life:
        life = Life(name, self.record.window)
        self.lives.append(life)
        return life

    def _start_lives(self) -> None:
        number = 0
        while not self._stop.wait(1 / self._stacks):
            running = sum(not life.end for life in self.lives)
            if self._spawning.is_set() and running < self._most:
                life = self._begin(f"life-{self._seed}-{number}")
                threading.Thread(target=self._live, args=(life, number), daemon=True).start()
                number += 1

    def _live(self, life: Life, number: int) -> None:
        began = time.monotonic()
        try:
            self._live_through(life, number)
        except Exception as error:  # every stack has to be accounted for
            life.reason, life.end = repr(error), life.end or "failed"
        life.seconds = time.monotonic() - began

    def _live_through(self, life: Life, number: int) -> None:
        chosen = chance(self._seed, "life", number)
        client = self.client(number, kept=chosen.random() < 0.5)
        waits = [chosen.choice([0.5, 1, 2, 3]) for _ in range(chosen.randint(1, 3))]
        identity = self._create(life, client, template("first", waits), self._patience)
        if not identity:
            return
        path = f"{self._base}/{life.name}/{identity}"
        self._ask(client, "PUT", path, {"template": template("second", waits[::-1])}, check=status(202))
        # Heat may have accepted an update without the client getting an answer.
        if not self._settled(life, client, path, self._patience, "UPDATE_COMPLETE", "CREATE_COMPLETE"):
            return
        events = self._ask(client, "GET", f"{path}/events", check=has(b"CREATE_COMPLETE"))
        life.hit = bool(events and _HIT in events.body)
        if self._delete(life, client, identity, self._patience):
            life.end = "complete"

    def _create(self, life: Life, client: Client, template: dict[str, Any], patience: float) -> str:
        """Create a stack and wait until it is complete. Returns its id, or "" with the reason in `life.end`."""
        body = {"stack_name": life.name, "template": template, "timeout_mins": 30}
        made = self._ask(client, "POST", self._base, body, check=shows(201, lambda found: bool(found["stack"]["id"])))
        identity = json.loads(made.body)["stack"]["id"] if made else self._find_unanswered(life, client)
        if not identity:
            life.end = life.end or "refused"
            return ""
        path = f"{self._base}/{life.name}/{identity}"
        return identity if self._settled(life, client, path, patience, "CREATE_COMPLETE") else ""

    def _find_unanswered(self, life: Life, client: Client) -> str:
        """The id of a stack that Heat has created without the client getting an answer, or ""."""
        check = shows(200, lambda found: len(found["stacks"]) <= 1)
        for _ in range(60):
            listed = self._ask(client, "GET", f"{self._base}?name={quote(life.name)}", check=check)
            if listed:
                found = json.loads(listed.body)["stacks"]
                return str(found[0]["id"]) if found else ""
            time.sleep(_POLL)
        life.end = "lost"
        return ""

    def _settled(self, life: Life, client: Client, path: str, patience: float, *states: str) -> bool:
        """Wait until a stack is in one of these states. If not, `life.end` has the reason."""
        deadline = time.monotonic() + patience
        state, reason = "", ""
        while time.monotonic() < deadline:
            answer = self._ask(client, "GET", path, check=status(200, 404))
            if answer and answer.status == 404:
                life.end = "lost"
                return False
            if answer:
                found = json.loads(answer.body)["stack"]
                state, reason = found["stack_status"], found["stack_status_reason"]
                if not state.endswith("_IN_PROGRESS"):
                    break
            time.sleep(_POLL)
        if state in states:
            return True
        life.end = "failed" if state and not state.endswith("_IN_PROGRESS") else "stuck"
        life.reason = f"{state} {reason}"
        return False

    def _delete(self, life: Life, client: Client, identity: str, patience: float) -> bool:
        """Delete a stack and check that it is gone. If not, `life.end` has the reason."""
        path = f"{self._base}/{life.name}/{identity}"
        deadline = time.monotonic() + patience
        state, reason, asked = "", "", False
        while time.monotonic() < deadline:
            if not asked:
                # A person would repeat a request without an answer; it counts as failed anyway.
                asked = self._ask(client, "DELETE", path, check=status(204, 404)) is not None
            answer = self._ask(client, "GET", path, check=status(200, 404))
            if answer and answer.status == 404:
                return True
            if answer:
                found = json.loads(answer.body)["stack"]
                state, reason = found["stack_status"], found["stack_status_reason"]
                if state == "DELETE_COMPLETE":
                    return True
                if state == "DELETE_FAILED":
                    break
            time.sleep(_POLL)
        life.end = "failed" if state == "DELETE_FAILED" else "stuck"
        life.reason = f"{state} {reason}"
        return False


def _names(found: dict[str, Any]) -> set[str]:
    return {one["stack_name"] for one in found["stacks"]}


def ends(lives: Iterable[Life]) -> Counter[str]:
    """How many lives ended in which way; those that have not ended are "stuck"."""
    return Counter(life.end or "stuck" for life in lives)
