"""The heat store: Heat's rows of stacks and engines, and Heat's own ways to repair them, for the caretaker.

It reads a few columns of many rows, because most rows need nothing, and loads a stack only to act on it. Everything
that is called here exists in Heat 24 to 27.
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

from traversal import Engine, Node, Resource, Step, Traversal, is_late
from upkeep import InProgress, StackLock

# A worker can take more messages from the queue than it has threads for, and these wait too. A worker has such messages
# only if at least this part of its threads is busy.
FULL = 0.5


def connect(files: Sequence[str]) -> None:
    """Read the options as an engine does, and set up messaging."""
    # In an engine, its libraries register this option when it starts to listen.
    every = (option for _, options in opts.list_opts() for option in options)
    cfg.CONF.register_opt(next(option for option in every if option.dest == "executor_thread_pool_size"))
    cfg.CONF([f"--config-file={path}" for path in files], project="heat", prog="heat-engine")
    messaging.setup()
    # An engine waits a second after each of the first messages of a traversal. Here other stacks would wait for it.
    scheduler.ENABLE_SLEEP = False
    # At each start Heat warns about every deprecated resource type.
    logging.getLogger().setLevel(logging.ERROR)


def single_workers() -> bool:
    """Whether an engine has one worker process."""
    return bool(cfg.CONF.num_engine_workers == 1)


def _admin() -> context.RequestContext:
    return context.get_admin_context()


def _stamp(moment: datetime.datetime | None) -> float:
    """The seconds of a time in UTC without a time zone; 0 for None."""
    return moment.replace(tzinfo=datetime.timezone.utc).timestamp() if moment else 0.0


def now() -> float:
    """The time in the clock of Heat's rows, in seconds."""
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
    """Every stack in progress that several engines work on together, the outer stacks first."""
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
    # Sync points have ids as text, the graph has ids of resources as numbers.
    arrived = {(point.entity_id, point.is_update): _nodes(point.input_data) for point in points}
    begun = (row.id, True) in arrived
    requires = _requires(row.current_deps) if begun else {}
    referenced = row.owner_id is None or (
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
            referenced=referenced,
            # The data to adopt, and whether a deletion abandons the stack, are in the lost message alone.
            whole=not (row.action == "ADOPT" or (row.action == "DELETE" and cfg.CONF.enable_stack_abandon)),
            # Like heat.engine.stack.Stack.has_timed_out.
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
    """Whether an engine answers that it is alive."""
    return bool(listener_client.EngineListenerClient(engine_id).is_alive(_admin()))


def locks_held(engine_id: str) -> set[str] | None:
    """The locks that an engine reports: programs/heat/engine.py. None if it does not report them.

    Heat's own program cannot report its locks, nor can this deployment's earlier program.
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
    """Release a lock on a stack. False if the lock has changed."""
    columns = models.StackLock
    with api.context_manager.writer.using(_admin()) as session:
        row = session.query(columns).filter_by(stack_id=lock.stack, engine_id=lock.engine).with_for_update().first()
        if row is None or str(row.created_at) != lock.created:
            return False
        session.delete(row)
    return True


def _release(resource: Resource) -> bool:
    """Release a forgotten lock, as Heat does for a dead engine. False if the lock has changed."""
    admin = _admin()
    row = resources.Resource.get_obj(admin, resource.id)
    values: dict[str, str | None] = {"engine_id": None}
    if row.status == "IN_PROGRESS":
        values |= {"status": "FAILED", "status_reason": f"Worker stopped in the middle of resource {row.action}"}
    taken = resources.Resource.select_and_update_by_id(admin, resource.id, values, resource.engine, resource.key)
    return bool(taken)


def full_engines() -> set[str]:
    """The engines with so many resources that further messages may wait in them."""
    limit = cfg.CONF.executor_thread_pool_size * FULL
    with api.context_manager.reader.using(_admin()) as session:
        held = session.query(models.Resource.engine_id).filter(models.Resource.engine_id.isnot(None)).all()
    holders = [row.engine_id for row in held]
    return {engine for engine in set(holders) if holders.count(engine) >= limit}


class _ReplacementSender:
    """Sends a check for the resource that has replaced the node's own."""

    def __init__(self, resource_id: int | str) -> None:
        self._resource_id = resource_id

    def check_resource(self, ctxt: object, _resource_id: int, *more: object, **named: object) -> None:
        worker_client.WorkerClient().check_resource(ctxt, self._resource_id, *more, **named)


class _RunsInline:
    """Runs in this thread what an engine runs in another: the start of a rollback."""

    def start(self, _stack_id: str, work: Callable[..., object], *words: object, **named: object) -> None:
        work(*words, **named)


def _load(stack_id: str) -> engine_stack.Stack:
    stack = engine_stack.Stack.load(_admin(), stack_id=stack_id, use_stored_context=True)
    stack.thread_group_mgr = _RunsInline()
    # A trust's token is the trustor's. If the context has another user, the end of a deletion logs in to the trust with
    # another login than the stack's, deletes the trust, and fails when it uses the trust once more.
    if stack.context.trustor_user_id:
        stack.context.user_id = stack.context.trustor_user_id
    return stack


def trigger(found: InProgress, steps: Sequence[Step]) -> list[Step]:
    """Have nodes checked again, like CheckResource.retrigger_check_resource; returns the nodes that are.

    Heat's method always triggers a resource's update, even if the cleanup is stuck, and does not know replacements. The
    function that it calls works for any node: it sends the check when all that the node requires has arrived, with the
    stored results, to any free engine.
    """
    stack = _load(found.id)
    graph = stack.convergence_dependencies.graph()
    keys = {(key.rsrc_id, key.is_update): key for key in graph}
    taken = inspect.signature(check_resource.propagate_check_resource).parameters
    done: list[Step] = []
    for step in steps:
        if step.freed and not _release(step.freed):
            continue
        key = keys[step.node]
        more = {"converge": stack.converge, "node_type": getattr(key, "node_type", None)}
        try:
            check_resource.propagate_check_resource(
                stack.context,
                worker_client.WorkerClient() if step.resource == key.rsrc_id else _ReplacementSender(step.resource),
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
            # Another traversal has started, and takes over.
            break
    return done


def restart(found: InProgress) -> bool:
    """Restart the traversal: the second half of what an engine does for a requested action.

    An engine that still works on the old traversal stops when it finds the new id. False if another program was faster.
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
    """Mark a stack as failed. False if another program was faster."""
    return bool(_load(found.id).mark_failed(reason))


def clean() -> int:
    """Remove the rows of engines that Heat counts as down, like `heat-manage service clean`; returns their number."""
    admin = _admin()
    moment = now()
    gone = [row.id for row in services.Service.get_all(admin) if is_late(_engine(row), moment)]
    for service_id in gone:
        services.Service.delete(admin, service_id)
    return len(gone)


def purge(days: int) -> int:
    """Remove stacks for good that were deleted so many days ago, like `heat-manage purge_deleted`; their number."""
    with api.context_manager.reader.using(_admin()) as session:
        line = timeutils.utcnow() - datetime.timedelta(days=days)
        count: int = session.query(models.Stack.id).filter(models.Stack.deleted_at < line).count()
    api.purge_deleted(days)
    return count
