"""PUT, DELETE and what becomes of them: a resource is replaced as a whole, and may take its time."""

from typing import Any

from headroom.rehearsal.arm import activity
from headroom.rehearsal.arm.errors import ArmError
from headroom.rehearsal.arm.ids import GROUP_TYPE, Path
from headroom.rehearsal.arm.kinds import Kind, Plain, not_simulated
from headroom.rehearsal.arm.world import Body, Operation, Record, World, bare, copied

Kinds = dict[str, Kind]

CLUSTERS_NAMESPACE = "Microsoft.ContainerService"
NO_BODY = "The request content was invalid and could not be deserialized."


def kind_of(kinds: Kinds, path: Path) -> Kind:
    """The type of a resource.

    Raises:
        ArmError: The simulated Azure does not carry it.
    """
    found = kinds.get(path.type.casefold())
    if found is None:
        raise not_simulated(path)
    return found


def shown(world: World, kinds: Kinds, record: Record) -> Body:
    """A resource as a GET shows it."""
    kind = kind_of(kinds, record.path)
    body = copied(record.body)
    if kind.has_state or "properties" in body:
        body.setdefault("properties", {})
    for name, type_ in kind.inline.items():
        body["properties"][name] = [
            shown(world, kinds, child) for child in world.below(record.path.text, kinds[type_.casefold()].type)
        ]
    kind.show(world, record, body)
    result: Body = {"id": record.path.text, "name": record.path.name, "type": record.path.type}
    if kind.etag_name == "eTag":
        (body["properties"] if len(record.path.names) > 1 else result)["eTag"] = record.etag
    elif kind.etag_name:
        result["etag"] = f'W/"{record.etag}"'
    return {**result, **body}


def missing(world: World, path: Path) -> ArmError:
    """The answer to a request for what is not there."""
    if path.type == GROUP_TYPE:
        return ArmError(404, "ResourceGroupNotFound", f"Resource group '{path.group}' could not be found.")
    if path.group and world.group_of(path) is None:
        return ArmError(404, "ResourceGroupNotFound", f"Resource group '{path.group}' could not be found.")
    if path.parent and path.namespace.casefold() == "microsoft.network":
        if world.find(path.parent) is None:
            return ArmError(404, "ResourceNotFound", _not_found(Path.parse(path.parent)))
        return ArmError(404, "NotFound", f"Resource {path.text} not found.", details=[])
    return ArmError(404, "ResourceNotFound", _not_found(path))


def _not_found(path: Path) -> str:
    return (
        f"The Resource '{path.type.partition('/')[0]}/{'/'.join(_pairs(path))}' under resource group '{path.group}' "
        "was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix"
    )


def _pairs(path: Path) -> list[str]:
    return [word for pair in zip(path.types, path.names, strict=False) for word in pair]


def put(  # noqa: PLR0913  # a request, taken apart
    world: World, kinds: Kinds, path: Path, body: Body, *, api_version: str, if_match: str = "", later: Any = None
) -> tuple[Record, Operation | None, bool]:
    """Creates or replaces a resource.

    Args:
        world: The simulated Azure.
        kinds: Its types.
        path: The resource.
        body: What it shall be, whole.
        api_version: The API version of the request.
        if_match: The etag that it must have; `*` for any.
        later: An error with which the operation will fail.

    Returns:
        The resource, the operation if it takes time, and whether it is new.

    Raises:
        ArmError: Azure refuses it.
    """
    kind = kind_of(kinds, path)
    old = world.find(path.text)
    _judge_place(world, path)
    if if_match:
        judge_etag(path, old, if_match)
    _judge_busy(world, kinds, path, kind)
    body = bare(body)
    body.setdefault("properties", {})
    if not isinstance(body["properties"], dict):
        raise ArmError(400, "InvalidRequestContent", NO_BODY)
    body["properties"].pop("provisioningState", None)
    inline = {name: body["properties"].pop(name, None) or [] for name in kind.inline}
    kind.prepare(world, path, body, old, api_version)
    before = copied(old.body) if old else None
    record = old or Record(path=path, body=body, api_version=api_version, created=world.now())
    record.body = body
    if old is None:
        world.add(record)
    try:
        for name, type_ in kind.inline.items():
            _put_inline(world, kinds, record, type_, inline[name], api_version)
        error = kind.accepted(world, record, before)
    except ArmError:
        if before is None:
            world.remove(record)
        else:
            record.body = before
        raise
    record.version += 1
    parent = world.find(path.parent)
    if parent is not None:
        parent.version += 1
    if not kind.takes_time:
        if kind.has_state:
            record.properties["provisioningState"] = "Succeeded"
        return record, None, old is None
    operation = world.begin(path, "update" if old else "create", kind.seconds(world), later or error)
    record.properties["provisioningState"] = "Updating" if old else "Creating"
    return record, operation, old is None


def _put_inline(  # noqa: PLR0913, PLR0917  # a parent, and what it says of its children
    world: World, kinds: Kinds, parent: Record, type_: str, wanted: list[Body], api_version: str
) -> None:
    kind = kinds[type_.casefold()]
    names = {str(item.get("name") or "").casefold() for item in wanted}
    gone = [child for child in world.below(parent.path.text, type_) if child.path.name.casefold() not in names]
    for child in gone:
        kind.check_delete(world, child)
    for child in gone:
        kind.deleted(world, child)
        world.remove(child)
    collection = type_.rpartition("/")[2]
    for item in wanted:
        path = Path.parse(f"{parent.path.text}/{collection}/{item.get('name')}")
        body = bare(item)
        body.setdefault("properties", {}).pop("provisioningState", None)
        old = world.find(path.text)
        kind.prepare(world, path, body, old, api_version)
        body["properties"]["provisioningState"] = "Succeeded"
        if old is None:
            record = Record(path=path, body=body, api_version=api_version, created=world.now())
            world.add(record)
        elif old.body != body:
            old.body = body
            old.version += 1


def patch(world: World, kinds: Kinds, path: Path, body: Body) -> Record:
    """Changes what a PATCH names.

    Of types of the network API that is the tags (UpdateTags), of those that are only kept whatever it says, lists as a
    whole (Azure REST API, Vaults - Update).

    Raises:
        ArmError: There is no such resource, or its type takes a PATCH of its tags only.
    """
    kind = kind_of(kinds, path)
    record = world.find(path.text)
    if record is None:
        raise missing(world, path)
    if isinstance(kind, Plain):
        record.body = _merged(record.body, body)
    elif set(body) - {"tags"}:
        raise ArmError(400, "InvalidRequestContent", NO_BODY)
    else:
        record.body["tags"] = dict(body.get("tags") or {})
    record.version += 1
    return record


def _merged(old: Body, new: Body) -> Body:
    both = {key: _merged(old[key], new[key]) for key in old.keys() & new.keys() if _are_objects(old[key], new[key])}
    return {**old, **new, **both}


def _are_objects(one: Any, other: Any) -> bool:
    return isinstance(one, dict) and isinstance(other, dict)


def delete(
    world: World, kinds: Kinds, path: Path, *, if_match: str = "", later: Any = None
) -> tuple[Operation | None, bool]:
    """Takes a resource away.

    Returns:
        The operation if it takes time, and whether there was anything.

    Raises:
        ArmError: Azure refuses it.
    """
    kind = kind_of(kinds, path)
    record = world.find(path.text)
    if record is None:
        return None, False
    if if_match:
        judge_etag(path, record, if_match)
    _judge_busy(world, kinds, path, kind)
    kind.check_delete(world, record)
    if not kind.takes_time:
        _remove(world, kinds, record)
        return None, True
    error = later or kind.fails_to_delete(world, record)
    record.properties["provisioningState"] = "Deleting"
    return world.begin(path, "delete", kind.seconds(world), error), True


def _remove(world: World, kinds: Kinds, record: Record) -> None:
    """Forgets a resource; of a group its resources first, clusters before the networks that they are in."""
    children = sorted(world.below(record.path.text), key=lambda child: child.path.namespace != CLUSTERS_NAMESPACE)
    for child in children:
        _remove(world, kinds, child)
    found = kinds.get(record.path.type.casefold())
    if found is not None:
        found.deleted(world, record)
    parent = world.find(record.path.parent)
    if parent is not None:
        parent.version += 1
    world.remove(record)


def settle(world: World, kinds: Kinds) -> None:
    """Ends the operations whose time has come."""
    for operation in world.due():
        world.end(operation)
        record = world.find(operation.path.text)
        if record is None:
            continue
        kind = kind_of(kinds, operation.path)
        if operation.error is not None:
            method = "DELETE" if operation.work == "delete" else "PUT"
            activity.note_failure(world, method, operation.path, operation.error)
            record.properties["provisioningState"] = "Failed"
            record.version += 1
        elif operation.work == "delete":
            _remove(world, kinds, record)
        else:
            kind.finished(world, record)
            record.properties["provisioningState"] = "Succeeded"
            record.version += 1


def _judge_place(world: World, path: Path) -> None:
    if path.subscription and path.subscription not in world.subscriptions:
        raise ArmError(404, "SubscriptionNotFound", f"The subscription '{path.subscription}' could not be found.")
    if path.namespace and path.group and world.group_of(path) is None:
        raise missing(world, path)
    if path.parent and world.find(path.parent) is None:
        parent = Path.parse(path.parent)
        message = (
            f"Failed to perform 'write' on resource(s) of type '{'/'.join(path.types)}', because the parent resource "
            f"'{parent.text}' could not be found."
        )
        raise ArmError(404, "ParentResourceNotFound", message)


def judge_etag(path: Path, record: Record | None, if_match: str) -> None:
    """Compares an etag of a request with that of the resource.

    Raises:
        ArmError: They differ (cloud-provider-azure, EtagMismatchPattern).
    """
    wanted = if_match.removeprefix("W/").strip('"')
    if record is not None and wanted in {"*", record.etag}:
        return
    has = f'W/"{record.etag}"' if record else "null"
    raise ArmError(
        412,
        "PreconditionFailed",
        f"Etag provided in if-match header {if_match} does not match etag {has} of resource {path.text}.",
        details=[],
    )


def _judge_busy(world: World, kinds: Kinds, path: Path, kind: Kind) -> None:
    """One change at a time: of a VNet and its subnets, of a cluster and its pools."""
    if not kind.takes_time:
        return
    root = Path.parse(path.within)
    for operation in world.pending.values():
        if operation.path.within.casefold() != root.text.casefold():
            continue
        if kind.flat_errors:
            raise ArmError(
                409,
                "OperationNotAllowed",
                f"Operation is not allowed because there's an in progress {operation.work} managed cluster operation "
                f"on {operation.path.name}.",
                flat=True,
            )
        if path.namespace.casefold() == "microsoft.network" and (
            operation.path.key == path.key or operation.work == "delete" or len(path.names) > 1
        ):
            raise ArmError(
                429,
                "AnotherOperationInProgress",
                "Another operation on this or dependent resource is in progress. To retrieve status of the operation "
                f"use uri: /operations/{operation.name}.",
                retry_after=world.settings.retry_seconds,
                details=[],
            )
    del kinds
