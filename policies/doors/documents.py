"""Reads what the engine has written: `pulumi preview --json` and `pulumi stack export`."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from headroom.addresses.problems import Problem, ProblemsError
from policies.resources import Place, Resource, plain, settled

GOING: Final = frozenset({"delete", "delete-replaced", "discard", "discard-replaced", "remove-pending-replace"})
"""Steps after which a resource is no longer there (pulumi/pulumi, sdk/go/common/display/step_op.go)."""

SAME: Final = "same"

_POSITION: Final = re.compile(r"(?:project:///)?(?P<file>[^#]+)#(?P<line>\d+)")


def kind_of(document: object) -> str:
    """`preview`, `state`, or empty for anything else."""
    if isinstance(document, Mapping):
        if isinstance(document.get("deployment"), Mapping):
            return "state"
        if "steps" in document or "changeSummary" in document:
            return "preview"
    return ""


def from_preview(document: Mapping[str, Any]) -> list[Resource]:
    """The resources as they will be, from `pulumi preview --json --show-sames`.

    Raises:
        ProblemsError: It is no preview, or leaves the unchanged resources out.
    """
    steps = document.get("steps", [])
    if not isinstance(steps, list) or not all(isinstance(step, Mapping) for step in steps):
        raise ProblemsError([_no_document("steps", "is no list of steps.")], subject="preview")
    summary = document.get("changeSummary") or {}
    same = summary.get(SAME, 0) if isinstance(summary, Mapping) else 0
    shown = sum(step.get("op") == SAME for step in steps)
    if isinstance(same, int) and same > shown:
        problem = Problem(
            rule="preview-incomplete",
            value=f"The preview of {len(steps)} steps",
            reason=f"leaves out {same - shown} resources that do not change, and rules look at all of them.",
            next_step="Write it with `pulumi preview --json --show-sames`.",
        )
        raise ProblemsError([problem], subject="preview")
    staying = (step for step in steps if step.get("op") not in GOING)
    return list(_resources((step.get("newState"), step.get("oldState")) for step in staying))


def from_state(document: Mapping[str, Any]) -> list[Resource]:
    """The resources that are, from `pulumi stack export`.

    Raises:
        ProblemsError: It is no state.
    """
    resources = document["deployment"].get("resources") or []
    if not isinstance(resources, list) or not all(isinstance(item, Mapping) for item in resources):
        raise ProblemsError([_no_document("deployment.resources", "is no list of resources.")], subject="state")
    return list(_resources((item, None) for item in resources if not item.get("delete")))


def _resources(states: Iterator[tuple[Any, Any]]) -> Iterator[Resource]:
    seen: set[str] = set()
    for state, before in states:
        if not isinstance(state, Mapping) or not isinstance(state.get("urn"), str) or state["urn"] in seen:
            continue
        seen.add(state["urn"])
        yield _resource(state, before if isinstance(before, Mapping) else None)


def _resource(state: Mapping[str, Any], before: Mapping[str, Any] | None) -> Resource:
    urn: str = state["urn"]
    inputs, outputs = _mapping(state.get("inputs")), _mapping(state.get("outputs"))
    ignored = state.get("ignoreChanges")
    # What the program says wins; what only the provider knows is added, as in the engine's own view.
    properties = settled(str(state.get("type", "")), outputs, inputs)
    dependencies = state.get("propertyDependencies") or {}
    return Resource(
        type=str(state.get("type", "")),
        name=urn.split("::", 3)[-1],
        urn=urn,
        properties=properties,
        id=str(plain(state["id"])) if isinstance(plain(state.get("id")), str) else "",
        parent=str(state.get("parent") or ""),
        protect=state.get("protect") is True,
        ignore_changes=tuple(path for path in ignored if isinstance(path, str)) if isinstance(ignored, list) else (),
        inputs=inputs,
        before=None if before is None else _mapping(before.get("inputs")),
        dependencies={
            str(name): tuple(str(item) for item in found)
            for name, found in (dependencies.items() if isinstance(dependencies, Mapping) else ())
            if isinstance(found, list)
        },
        place=place_of(state.get("sourcePosition")),
    )


def _mapping(value: object) -> dict[str, Any]:
    read = plain(value)
    return read if isinstance(read, dict) else {}


def place_of(position: object) -> Place | None:
    """File and line out of the engine's `project:///__main__.py#5`."""
    found = _POSITION.fullmatch(position) if isinstance(position, str) else None
    return Place(file=found["file"], line=int(found["line"])) if found else None


def _no_document(value: str, reason: str) -> Problem:
    step = "Write it with `pulumi preview --json --show-sames`, or `pulumi stack export`."
    return Problem(rule="document", value=value, reason=reason, next_step=step)
