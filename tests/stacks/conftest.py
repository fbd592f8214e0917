"""What the tests of several stacks on Azure share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pulumi

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping
    from types import ModuleType

    import pytest

    from stacks.azure_adoption import Candidate
    from tests.conftest import Recorder


def looked_for(monkeypatch: pytest.MonkeyPatch, stack: ModuleType) -> set[tuple[str, str]]:
    """Type and name of what a stack looks for from now on before it makes anything; nothing is found."""
    known: set[tuple[str, str]] = set()

    def find_none(candidates: Iterable[Candidate], *_: object) -> dict[str, str]:
        known.update((each.type, each.name) for each in candidates)
        return {}

    monkeypatch.setattr(stack, "find_existing", find_none)
    return known


def declared(recorder: Recorder) -> set[tuple[str, str]]:
    """Type and name of what a stack has declared in Azure."""
    return {(each.type, each.name) for each in recorder.registrations if each.type.startswith("azure-native:")}


def refusal(
    recorder: Recorder,
    type_: str,
    inputs: Mapping[str, Any],
    guard: Callable[[pulumi.ResourceHookArgs], Awaitable[None]],
    error: type[Exception],
    **settings: Any,
) -> str:
    """What a guard says of writing something with these inputs; empty where it lets it be written."""
    said: list[str] = []

    async def program() -> None:
        try:
            await guard(pulumi.ResourceHookArgs(urn="", id="", name="", type=type_, new_inputs=dict(inputs)))
        except error as refused:
            said.append(str(refused))

    recorder.run(program, **settings)
    return "".join(said)
