"""Azure's bodies and the provider's properties: the provider takes `properties` out of its wrapper, level by level.

Names are the same otherwise, but for two: a dot has no place in a property's name (`odata.type` is `odataType`), and
identities are a list for the program and a mapping for Azure (pulumi-azure-native, provider/pkg/convert).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from headroom.rehearsal.providers.values import UNKNOWN, Properties

REFERENCE: Final = frozenset({"id", "name", "etag", "type"})
"""What stands beside `properties` in a child of Microsoft.Network."""

SERVICE_ONLY: Final = frozenset(
    {
        "provisioningState",
        "etag",
        "eTag",
        "resourceGuid",
        "effectiveOutboundIPs",
        "currentOrchestratorVersion",
        "nodeImageVersion",
        "principalId",
        "clientId",
        "tenantId",
    }
)
"""What only Azure writes, at any depth: never an input."""

_RENAMED: Final = {"odataType": "odata.type"}
_BACK: Final = {theirs: ours for ours, theirs in _RENAMED.items()}
_OF_AN_IDENTITY: Final = frozenset({"principalId", "tenantId"})
_SETS: Final = frozenset({"userAssignedIdentities"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How a body is built.

    Attributes:
        beside: Names that stand beside `properties`.
        inside: Properties whose items have a wrapper of their own.
        wrapped: Whether there is a wrapper at all.
    """

    beside: frozenset[str]
    inside: Mapping[str, "Shape"] = field(default_factory=dict)
    wrapped: bool = True


CHILD: Final = Shape(beside=REFERENCE)


def to_body(inputs: Mapping[str, Any], shape: Shape) -> dict[str, Any]:
    """What Azure gets for a resource's inputs."""
    body: dict[str, Any] = {}
    properties: dict[str, Any] = {}
    for name, value in inputs.items():
        target = properties if shape.wrapped and name not in shape.beside else body
        target[_RENAMED.get(name, name)] = _sent(name, value, shape.inside.get(name))
    if properties:
        body["properties"] = properties
    return body


def _sent(name: str, value: Any, shape: Shape | None) -> Any:
    if isinstance(value, list):
        if name in _SETS:
            return {str(item): {} for item in value}
        return [_sent("", item, shape) for item in value]
    if isinstance(value, dict):
        if shape is not None:
            return to_body(value, shape)
        return {_RENAMED.get(key, key): _sent(key, item, None) for key, item in value.items()}
    return value


def to_properties(body: Mapping[str, Any], shape: Shape) -> Properties:
    """The properties for what Azure shows."""
    found: Properties = {}
    beside = {name: value for name, value in body.items() if name != "properties" or not shape.wrapped}
    inside = body.get("properties") if shape.wrapped else None
    for source in (beside, inside or {}):
        for name, value in source.items():
            ours = _BACK.get(name, name)
            found[ours] = _received(value, shape.inside.get(ours))
    return found


def _received(value: Any, shape: Shape | None) -> Any:
    if isinstance(value, list):
        return [_received(item, shape) for item in value]
    if isinstance(value, dict):
        if shape is not None:
            return to_properties(value, shape)
        return {_BACK.get(key, key): _received(item, None) for key, item in value.items()}
    return value


def writable(value: Any, name: str = "", *, inputs: frozenset[str] = frozenset()) -> Any:
    """Properties as they could be inputs: without what only Azure writes, and identities as a list.

    `inputs` are names at the top that are inputs here, whatever they are elsewhere (a role's principal).
    """
    if isinstance(value, list):
        return [writable(item) for item in value]
    if isinstance(value, dict):
        if name in _SETS:
            return sorted(value)
        hidden = SERVICE_ONLY - inputs
        return {key: writable(item, key) for key, item in value.items() if key not in hidden and item is not None}
    return value


def foreseen(value: Any, name: str = "") -> Any:
    """Inputs as a preview shows them among the outputs: what Azure makes of a list of identities is not known."""
    if name in _SETS:
        return UNKNOWN
    if isinstance(value, list):
        return [foreseen(item) for item in value]
    if isinstance(value, dict):
        return {key: foreseen(item, key) for key, item in value.items()}
    return value


def followed(inputs: Any, before: Any, after: Any) -> Any:
    """Inputs after what changed in Azure between two looks at it.

    What did not change there stays as the program wrote it, and defaults that Azure filled in stay out
    (pulumi-azure-native, provider/pkg/provider/diff.go, applyDiff).
    """
    if isinstance(inputs, dict) and isinstance(before, dict) and isinstance(after, dict):
        result = {name: value for name, value in inputs.items() if name in after or name not in before}
        for name, value in after.items():
            if name not in before:
                result[name] = value
            elif before[name] != value:
                result[name] = followed(inputs[name], before[name], value) if name in inputs else value
        return result
    if isinstance(inputs, list) and isinstance(before, list) and isinstance(after, list):
        shared = min(len(inputs), len(before))
        return [
            followed(inputs[index], before[index], item) if index < shared else item for index, item in enumerate(after)
        ]
    return inputs if before == after else after
