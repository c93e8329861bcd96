"""A steady load on both APIs, which judges every answer.

Readers ask for what does not change, so that a wrong answer shows. Beside them stacks live their lives, each through
creation, update and deletion, and each is accounted for. Both are bounded in rate and number, and light: a reader waits
for its answer before it asks again.
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
# As many bytes of a wrong answer are kept.
_SHOWN = 4000
# What Heat says of a resource that was in the hands of an engine that died.
_HIT = b"Worker went down"


def chance(*seed: object) -> random.Random:
    """Random numbers that are the same for the same seed."""
    return random.Random("-".join(map(str, seed)))  # noqa: S311 # nothing here is secret


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A request that failed or was answered wrongly.

    `began` and `ended` are of time.time, `port` is the client's, `to` the server's; `status` is 0 without an answer.
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
    """What was asked between two moments. Seconds are of the answers that were right."""

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
        right: Callable[[Answer], str],
    ) -> Answer | None:
        """Send a request. `right` says what is wrong with its answer, "" for nothing; None is given where it failed."""
        window = self.window
        began = time.time()
        answer, port, retried = None, 0, False
        try:
            answer = client.ask(method, path, headers, body)
            port, retried = answer.port, answer.retried
            wrong = right(answer)
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
    """Heat's errors have their message behind a traceback."""
    return f"{answer.status} {answer.body[:_SHOWN]!r}"


def status(*wanted: int) -> Callable[[Answer], str]:
    """An answer with one of these statuses is right."""
    return lambda answer: "" if answer.status in wanted else _shown(answer)


def shows(wanted: int, right: Callable[[Any], bool]) -> Callable[[Answer], str]:
    """An answer with this status, and JSON that is right."""

    def judge(answer: Answer) -> str:
        if answer.status != wanted:
            return _shown(answer)
        try:
            return "" if right(json.loads(answer.body)) else f"wrong content: {_shown(answer)}"
        except (ValueError, KeyError, TypeError) as error:
            return f"wrong content ({error}): {_shown(answer)}"

    return judge


def has(*wanted: bytes) -> Callable[[Answer], str]:
    """An answer of 200 with all of these in it."""

    def judge(answer: Answer) -> str:
        if answer.status == 200 and all(part in answer.body for part in wanted):
            return ""
        return _shown(answer)

    return judge


def template(value: str, waits: Iterable[float]) -> dict[str, Any]:
    """A stack of a random string and a chain of resources that wait, each for so many seconds."""
    resources: dict[str, Any] = {"random": {"type": "OS::Heat::RandomString"}}
    for number, seconds in enumerate(waits):
        properties = {"value": f"{value}-{number}", "wait_secs": seconds}
        resources[f"wait-{number}"] = {"type": "OS::Heat::TestResource", "properties": properties}
        if number:
            resources[f"wait-{number}"]["depends_on"] = [f"wait-{number - 1}"]
    return {"heat_template_version": "2018-08-31", "resources": resources}


@dataclass
class Life:
    """A stack, and what became of it.

    `end` is "complete", or "refused" (its creation failed and it is not there), "lost" (accepted, and not there),
    "stuck" (IN_PROGRESS beyond patience), "failed" (Heat says so). `hit`: an engine died with one of its
    resources in hand, which another one has replaced.
    """

    name: str
    window: Window
    end: str = ""
    hit: bool = False
    seconds: float = 0.0
    told: str = ""


class Load:
    """The load.

    Args:
        cloud: whose.
        seed: of its random numbers.
        sources: the clients' own addresses, in turn; none leaves them to the kernel.
        reads: requests of the readers per second.
        stacks: lives begun per second.
        patience: seconds that a stack may be IN_PROGRESS before it counts as stuck.
        most: lives at once, at most.
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
        """Make the stacks that are read, and begin to read them."""
        for number in range(2):
            life = self._begin(f"anchor-{self._seed}-{number}")
            identity = self._create(life, self.client(number, kept=False), template("anchor", []), self._patience)
            assert identity, f"no stack can be made before anything is broken: {self.record.window.failures}"
            self._anchors.append((life.name, identity))
        self.lives.clear()
        # Four ReST clients to one of the CFN API, whose every request is Keystone's to check.
        readers = [(number, number % 2 == 0, number % 5 == 4) for number in range(10)]
        for number, kept, cfn in readers:
            self._spawn(self._read, number, kept, cfn, len(readers) / self._reads)
        self._spawn(self._beget)

    def stop(self) -> None:
        """End the load, and delete the stacks that were read."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        client = self.client(0, kept=False)
        for name, identity in self._anchors:
            self._ask(client, "DELETE", f"{self._base}/{name}/{identity}", right=status(204))

    def rest(self, seconds: float) -> list[Life]:
        """Begin no more lives, and wait for those that go on; the readers read on. Gives those that have not ended."""
        self._spawning.clear()
        deadline = time.monotonic() + seconds
        while (left := [life for life in self.lives if not life.end]) and time.monotonic() < deadline:
            time.sleep(0.2)
        return left

    def go_on(self) -> None:
        self._spawning.set()

    def goes_through(self) -> bool:
        """A stack is made and deleted now."""
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
            # One that fell behind does not catch up: that would be a burst.
            due = max(due + pause, time.monotonic())
            self._stop.wait(due - time.monotonic())

    def _ask(
        self, client: Client, method: str, path: str, body: Any = None, *, right: Callable[[Answer], str]
    ) -> Answer | None:
        text = json.dumps(body).encode() if body is not None else b""
        return self.record.ask(client, method, path, self._cloud.rest(), text, right=right)

    def _read_rest(self, client: Client, chosen: random.Random) -> None:
        name, identity = chosen.choice(self._anchors)
        path = f"{self._base}/{name}/{identity}"
        match chosen.randrange(4):
            case 0:
                right = shows(200, lambda told: [one["id"] for one in told["stacks"]] == [identity])
                self._ask(client, "GET", f"{self._base}?name={quote(name)}", right=right)
            case 1:
                right = shows(200, lambda told: {name for name, _ in self._anchors} <= _names(told))
                self._ask(client, "GET", f"{self._base}?sort_keys=created_at&sort_dir=asc&limit=200", right=right)
            case 2:
                right = shows(
                    200,
                    lambda told: (told["stack"]["id"], told["stack"]["stack_status"]) == (identity, "CREATE_COMPLETE"),
                )
                self._ask(client, "GET", path, right=right)
            case _:
                right = shows(200, lambda told: [one["resource_name"] for one in told["resources"]] == ["random"])
                self._ask(client, "GET", f"{path}/resources", right=right)

    def _read_cfn(self, client: Client, chosen: random.Random) -> None:
        name, identity = chosen.choice(self._anchors)
        # boto3 sends POST; a query in a GET is as good, and may be repeated.
        method = chosen.choice(["GET", "POST"])
        if chosen.randrange(2):
            path, headers, body = self._cloud.signed(method, "ListStacks")
            right = has(b"<ListStacksResponse", *(anchor.encode() for anchor, _ in self._anchors))
        else:
            path, headers, body = self._cloud.signed(method, "DescribeStacks", StackName=name)
            right = has(f"{name}/{identity}<".encode(), b"<StackStatus>CREATE_COMPLETE<")
        self.record.ask(client, method, path, headers, body, right=right)

    def _begin(self, name: str) -> Life:
        life = Life(name, self.record.window)
        self.lives.append(life)
        return life

    def _beget(self) -> None:
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
            self._lead(life, number)
        except Exception as error:  # a life that is not accounted for would be lost without a word
            life.told, life.end = repr(error), life.end or "failed"
        life.seconds = time.monotonic() - began

    def _lead(self, life: Life, number: int) -> None:
        chosen = chance(self._seed, "life", number)
        client = self.client(number, kept=chosen.random() < 0.5)
        waits = [chosen.choice([0.5, 1, 2, 3]) for _ in range(chosen.randint(1, 3))]
        identity = self._create(life, client, template("first", waits), self._patience)
        if not identity:
            return
        path = f"{self._base}/{life.name}/{identity}"
        self._ask(client, "PUT", path, {"template": template("second", waits[::-1])}, right=status(202))
        # An update that was not answered may have been taken all the same.
        if not self._settled(life, client, path, self._patience, "UPDATE_COMPLETE", "CREATE_COMPLETE"):
            return
        events = self._ask(client, "GET", f"{path}/events", right=has(b"CREATE_COMPLETE"))
        life.hit = bool(events and _HIT in events.body)
        if self._delete(life, client, identity, self._patience):
            life.end = "complete"

    def _create(self, life: Life, client: Client, wanted: dict[str, Any], patience: float) -> str:
        """Make a stack and wait until it is complete; gives its id, "" where `life.end` says what became of it."""
        body = {"stack_name": life.name, "template": wanted, "timeout_mins": 30}
        made = self._ask(client, "POST", self._base, body, right=shows(201, lambda told: bool(told["stack"]["id"])))
        identity = json.loads(made.body)["stack"]["id"] if made else self._taken_all_the_same(life, client)
        if not identity:
            life.end = life.end or "refused"
            return ""
        path = f"{self._base}/{life.name}/{identity}"
        return identity if self._settled(life, client, path, patience, "CREATE_COMPLETE") else ""

    def _taken_all_the_same(self, life: Life, client: Client) -> str:
        """Heat may have made a stack whose creation nobody was told of."""
        right = shows(200, lambda told: len(told["stacks"]) <= 1)
        for _ in range(60):
            listed = self._ask(client, "GET", f"{self._base}?name={quote(life.name)}", right=right)
            if listed:
                found = json.loads(listed.body)["stacks"]
                return str(found[0]["id"]) if found else ""
            time.sleep(_POLL)
        life.end = "lost"
        return ""

    def _settled(self, life: Life, client: Client, path: str, patience: float, *wanted: str) -> bool:
        """Wait until a stack is in one of these states; otherwise `life.end` says why not."""
        deadline = time.monotonic() + patience
        state, reason = "", ""
        while time.monotonic() < deadline:
            answer = self._ask(client, "GET", path, right=status(200, 404))
            if answer and answer.status == 404:
                life.end = "lost"
                return False
            if answer:
                told = json.loads(answer.body)["stack"]
                state, reason = told["stack_status"], told["stack_status_reason"]
                if not state.endswith("_IN_PROGRESS"):
                    break
            time.sleep(_POLL)
        if state in wanted:
            return True
        life.end = "failed" if state and not state.endswith("_IN_PROGRESS") else "stuck"
        life.told = f"{state} {reason}"
        return False

    def _delete(self, life: Life, client: Client, identity: str, patience: float) -> bool:
        """Delete a stack and see that it is gone; otherwise `life.end` says why not."""
        path = f"{self._base}/{life.name}/{identity}"
        deadline = time.monotonic() + patience
        state, reason, asked = "", "", False
        while time.monotonic() < deadline:
            if not asked:
                # One that was not answered is asked again, as a person would; it has failed all the same.
                asked = self._ask(client, "DELETE", path, right=status(204, 404)) is not None
            answer = self._ask(client, "GET", path, right=status(200, 404))
            if answer and answer.status == 404:
                return True
            if answer:
                told = json.loads(answer.body)["stack"]
                state, reason = told["stack_status"], told["stack_status_reason"]
                if state == "DELETE_COMPLETE":
                    return True
                if state == "DELETE_FAILED":
                    break
            time.sleep(_POLL)
        life.end = "failed" if state == "DELETE_FAILED" else "stuck"
        life.told = f"{state} {reason}"
        return False


def _names(told: dict[str, Any]) -> set[str]:
    return {one["stack_name"] for one in told["stacks"]}


def ends(lives: Iterable[Life]) -> Counter[str]:
    """How many lives ended how; those that go on are "stuck"."""
    return Counter(life.end or "stuck" for life in lives)
