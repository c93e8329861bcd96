"""Heat's own records of stacks and engines, and what Heat offers to set them right: the caretaker's hands.

Reads a few columns of many rows, as most of what it sees needs nothing; a stack is loaded only to be acted on. What is
called here is there in Heat 24 to 27.
"""

import datetime
import hashlib
import inspect
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import oslo_messaging
from heat.common import context, exception, messaging
from heat.db import api, models
from heat.engine import check_resource, environment, scheduler, sync_point
from heat.engine import stack as engine_stack
from heat.objects import resource as resources
from heat.objects import service as services
from heat.rpc import listener_client, worker_client
from oslo_config import cfg
from oslo_messaging import opts
from oslo_utils import timeutils, uuidutils

from traversal import Engine, Node, Resource, Step, Traversal, late
from upkeep import InProgress, StackLock

# What a worker takes from the queue while it has no thread for it is waiting too, and only a worker that is this full
# has any.
FULL = 0.5


def connect(files: Sequence[str]) -> None:
    """Read the options as an engine does, and be ready to send what an engine sends."""
    # The libraries of an engine register this one when it starts to listen.
    every = (option for _, options in opts.list_opts() for option in options)
    cfg.CONF.register_opt(next(option for option in every if option.dest == "executor_thread_pool_size"))
    cfg.CONF([f"--config-file={path}" for path in files], project="heat", prog="heat-engine")
    messaging.setup()
    # An engine that begins a traversal waits a second after each of its first messages; here others are waiting.
    scheduler.ENABLE_SLEEP = False
    # At each start Heat warns of every resource type that it would rather not have.
    logging.getLogger().setLevel(logging.ERROR)


def single_workers() -> bool:
    """Whether an engine has one worker process."""
    return bool(cfg.CONF.num_engine_workers == 1)


def _admin() -> context.RequestContext:
    return context.get_admin_context()


def _stamp(moment: datetime.datetime | None) -> float:
    """Seconds of a time that is in UTC and does not say so; none is long ago."""
    return moment.replace(tzinfo=datetime.timezone.utc).timestamp() if moment else 0.0


def now() -> float:
    """What time it is, as Heat's records tell it."""
    return _stamp(timeutils.utcnow())


def engines() -> dict[str, Engine]:
    """Every worker process in the table of services."""
    return {row.engine_id: _engine(row) for row in services.Service.get_all(_admin())}


def _engine(row: services.Service) -> Engine:
    return Engine(
        id=row.engine_id,
        host=row.host,
        created=_stamp(row.created_at),
        reported=_stamp(row.updated_at or row.created_at),
        interval=row.report_interval,
    )


def in_progress() -> Iterator[InProgress]:
    """Every stack that several engines work on together, the outer ones first."""
    with api.context_manager.reader.using(_admin()) as session:
        rows = (
            session.query(models.Stack)
            .filter_by(status="IN_PROGRESS", convergence=True, deleted_at=None, backup=False)
            .order_by(models.Stack.nested_depth, models.Stack.id)
            .with_entities(
                models.Stack.id,
                models.Stack.name,
                models.Stack.owner_id,
                models.Stack.action,
                models.Stack.current_traversal,
                models.Stack.current_deps,
                models.Stack.parent_resource_name,
                models.Stack.timeout,
                models.Stack.created_at,
                models.Stack.updated_at,
            )
            .all()
        )
        for row in rows:
            yield _read(session, row)


def _read(session: Any, row: Any) -> InProgress:  # noqa: ANN401 # SQLAlchemy's, in Heat's environment alone
    columns = models.Resource
    rows = (
        session.query(columns)
        .filter_by(stack_id=row.id)
        .with_entities(
            columns.id,
            columns.action,
            columns.status,
            columns.engine_id,
            columns.replaces,
            columns.replaced_by,
            columns.atomic_key,
            columns.updated_at,
        )
        .order_by(columns.id)
        .all()
    )
    points = (
        session.query(models.SyncPoint)
        .filter_by(stack_id=row.id, traversal_id=row.current_traversal)
        .order_by(models.SyncPoint.entity_id, models.SyncPoint.is_update)
        .all()
    )
    hooks = (
        session.query(models.ResourceData.resource_id)
        .join(models.Resource, models.Resource.id == models.ResourceData.resource_id)
        .filter(models.Resource.stack_id == row.id, models.ResourceData.key.in_(environment.HOOK_TYPES))
    )
    paused = {found.resource_id for found in hooks}
    # Sync points have an id as text, the graph has a resource's as a number.
    arrived = {(point.entity_id, point.is_update): _nodes(point.input_data) for point in points}
    begun = (row.id, True) in arrived
    requires = _requires(row.current_deps) if begun else {}
    wanted = row.owner_id is None or (
        session.query(columns.id)
        .filter_by(stack_id=row.owner_id, name=row.parent_resource_name, physical_resource_id=row.id)
        .first()
        is not None
    )
    keys = [(point.entity_id, point.is_update, point.atomic_key) for point in points]
    return InProgress(
        id=row.id,
        name=row.name,
        owner=row.owner_id,
        mark=hashlib.sha256(repr((row.current_traversal, row.action, rows, keys)).encode()).hexdigest(),
        traversal=Traversal(
            action=row.action,
            begun=begun,
            requires=requires,
            arrived={node: arrived.get((str(node[0]), node[1]), frozenset()) for node in requires},
            finished=arrived.get((row.id, True), frozenset()),
            resources={
                one.id: Resource(
                    id=one.id,
                    engine=one.engine_id,
                    key=one.atomic_key,
                    replaces=one.replaces,
                    replaced_by=one.replaced_by,
                    paused=one.id in paused,
                )
                for one in rows
            },
            wanted=wanted,
            # What is adopted, and that a deletion leaves everything where it is, is in the lost message alone.
            whole=not (row.action == "ADOPT" or (row.action == "DELETE" and cfg.CONF.enable_stack_abandon)),
            # As heat.engine.stack.Stack.has_timed_out.
            overdue=now() - _stamp(row.updated_at or row.created_at)
            > (cfg.CONF.stack_action_timeout if row.timeout is None else row.timeout * 60),
        ),
    )


def _requires(deps: dict[str, Any]) -> dict[Node, set[Node]]:
    requires: dict[Node, set[Node]] = defaultdict(set)
    for requirer, required in deps["edges"]:
        needs = requires[tuple(requirer[:2])]
        if required is not None:
            needs.add(tuple(required[:2]))
            requires[tuple(required[:2])] |= set()
    return dict(requires)


def _nodes(input_data: dict[str, Any] | None) -> frozenset[Node]:
    return frozenset(tuple(key[:2]) for key in sync_point.deserialize_input_data(input_data or {}))


def answers(engine_id: str) -> bool:
    """Whether an engine says that it is there."""
    return bool(listener_client.EngineListenerClient(engine_id).is_alive(_admin()))


def locks_held(engine_id: str) -> set[str] | None:
    """The locks that an engine says it has: programs/heat/engine.py. None where it does not say.

    Heat's own program does not know the question, nor does this deployment's of before.
    """
    client = listener_client.EngineListenerClient(engine_id)._client
    try:
        return set(client.call(_admin(), "locks_held"))
    except oslo_messaging.exceptions.MessagingException:
        return None


def stack_locks() -> list[StackLock]:
    """Every lock on a whole stack."""
    columns = models.StackLock
    with api.context_manager.reader.using(_admin()) as session:
        rows = session.query(columns).with_entities(columns.stack_id, columns.engine_id, columns.created_at).all()
    return [StackLock(row.stack_id, row.engine_id, str(row.created_at)) for row in rows if row.engine_id]


def unlock(lock: StackLock) -> bool:
    """Take a lock on a stack away. False: it is not the same any more."""
    columns = models.StackLock
    with api.context_manager.writer.using(_admin()) as session:
        row = session.query(columns).filter_by(stack_id=lock.stack, engine_id=lock.engine).with_for_update().first()
        if row is None or str(row.created_at) != lock.created:
            return False
        session.delete(row)
    return True


def _free(resource: Resource) -> bool:
    """Take a forgotten lock away, as Heat does from an engine that is gone. False: it is not the same any more."""
    admin = _admin()
    row = resources.Resource.get_obj(admin, resource.id)
    values: dict[str, str | None] = {"engine_id": None}
    if row.status == "IN_PROGRESS":
        values |= {"status": "FAILED", "status_reason": f"Worker stopped in the middle of resource {row.action}"}
    taken = resources.Resource.select_and_update_by_id(admin, resource.id, values, resource.engine, resource.key)
    return bool(taken)


def full_engines() -> set[str]:
    """The engines that hold so many resources that further messages may wait within them."""
    limit = cfg.CONF.executor_thread_pool_size * FULL
    with api.context_manager.reader.using(_admin()) as session:
        held = session.query(models.Resource.engine_id).filter(models.Resource.engine_id.isnot(None)).all()
    holders = [row.engine_id for row in held]
    return {engine for engine in set(holders) if holders.count(engine) >= limit}


class _Instead:
    """Sends a check for a resource that has replaced the node's own."""

    def __init__(self, resource_id: int | str) -> None:
        self._resource_id = resource_id

    def check_resource(self, ctxt: object, _resource_id: int, *more: object, **named: object) -> None:
        worker_client.WorkerClient().check_resource(ctxt, self._resource_id, *more, **named)


class _AtOnce:
    """Does what an engine does in a thread of its own: a rollback begins so."""

    def start(self, _stack_id: str, work: Callable[..., object], *words: object, **named: object) -> None:
        work(*words, **named)


def _load(stack_id: str) -> engine_stack.Stack:
    stack = engine_stack.Stack.load(_admin(), stack_id=stack_id, use_stored_context=True)
    stack.thread_group_mgr = _AtOnce()
    # A trust's token is its trustor's. Where the context does not say so, the end of a deletion takes another login to
    # the trust than the stack's, deletes the trust, and fails at using it once more.
    if stack.context.trustor_user_id:
        stack.context.user_id = stack.context.trustor_user_id
    return stack


def trigger(found: InProgress, steps: Sequence[Step]) -> list[Step]:
    """Have nodes checked again, as CheckResource.retrigger_check_resource does; which of them were.

    That one itself always takes a resource's update, even when it is the clean-up that stands still, and knows nothing
    of replacements. What it calls does the same for any node: the check goes out when all that the node requires is
    there, with what has been stored for it, and to whichever engine is free.
    """
    stack = _load(found.id)
    graph = stack.convergence_dependencies.graph()
    keys = {(key.rsrc_id, key.is_update): key for key in graph}
    taken = inspect.signature(check_resource.propagate_check_resource).parameters
    done: list[Step] = []
    for step in steps:
        if step.freed and not _free(step.freed):
            continue
        key = keys[step.node]
        more = {"converge": stack.converge, "node_type": getattr(key, "node_type", None)}
        try:
            check_resource.propagate_check_resource(
                stack.context,
                worker_client.WorkerClient() if step.resource == key.rsrc_id else _Instead(step.resource),
                key.rsrc_id,
                stack.current_traversal,
                set(graph[key]),
                key,
                None,
                key.is_update,
                None,
                **{name: value for name, value in more.items() if name in taken},
            )
            done.append(step)
        except exception.EntityNotFound:
            # Somebody has begun another traversal, and will see to it.
            break
    return done


def restart(found: InProgress) -> bool:
    """Begin the traversal anew: the second half of what an engine does when it is asked for an action.

    The new traversal's name makes whoever may still be at the old one stop by himself. False: somebody was faster.
    """
    stack = _load(found.id)
    before = stack.current_traversal
    stack.current_traversal = uuidutils.generate_uuid()
    if stack.store(exp_trvsl=before) is None:
        return False
    sync_point.delete_all(stack.context, stack.id, before)
    stack._converge_create_or_update()
    return True


def fail(found: InProgress, reason: str) -> bool:
    """Mark a stack as failed. False: somebody was faster."""
    return bool(_load(found.id).mark_failed(reason))


def clean() -> int:
    """Remove the rows of engines that Heat calls down, as `heat-manage service clean` does; how many."""
    admin = _admin()
    moment = now()
    gone = [row.id for row in services.Service.get_all(admin) if late(_engine(row), moment)]
    for service_id in gone:
        services.Service.delete(admin, service_id)
    return len(gone)


def purge(days: int) -> int:
    """Remove for good what was deleted so many days ago, as `heat-manage purge_deleted` does; how many stacks."""
    with api.context_manager.reader.using(_admin()) as session:
        line = timeutils.utcnow() - datetime.timedelta(days=days)
        count: int = session.query(models.Stack.id).filter(models.Stack.deleted_at < line).count()
    api.purge_deleted(days)
    return count
