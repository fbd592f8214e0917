from __future__ import annotations

from importlib import import_module
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pulumi
import pytest

import stacks
from headroom.addresses.problems import Problem, ProblemsError

if TYPE_CHECKING:
    from tests.conftest import Recorder


@pytest.mark.parametrize(
    ("config", "shown"),
    [
        ({}, "''"),
        ({"headroom:remedy": ""}, "''"),
        ({"headroom:remedy": "emergancy"}, "'emergancy'"),
        ({"headroom:remedy": "stacks.emergency"}, "'stacks.emergency'"),
        ({"headroom:remedy": ["emergency"]}, "'[\"emergency\"]'"),
    ],
)
def test_a_remedy_that_does_not_exist_is_refused_with_those_that_do(
    recorder: Recorder, config: dict[str, object], shown: str
) -> None:
    with pytest.raises(pulumi.RunError) as caught:
        recorder.run(stacks.deploy, config=config)
    assert str(caught.value) == (
        "1 problem in Pulumi.prod-use1-emergency.yaml; nothing was changed.\n"
        f"  - headroom:remedy: {shown} is not a stack. Run `pulumi config set headroom:remedy emergency`; there are: "
        f"{', '.join(stacks.REMEDIES)}."
    )
    assert recorder.registrations == []


def test_every_remedy_names_a_module_that_deploys() -> None:
    for module in stacks.REMEDIES.values():
        assert callable(import_module(module).deploy)


def test_the_remedy_chooses_the_module_whatever_the_stack_is_called(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed: list[str] = []

    def find(name: str) -> SimpleNamespace:
        return SimpleNamespace(deploy=lambda: deployed.append(name))

    monkeypatch.setattr(stacks, "import_module", find)
    recorder.run(stacks.deploy, config={"headroom:remedy": "emergency"}, stack="anything")
    assert deployed == ["stacks.emergency"]


def test_every_problem_of_a_stack_is_a_line_under_the_name_of_its_file(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Refusing:
        @staticmethod
        def deploy() -> None:
            raise ProblemsError(
                [
                    Problem(rule="a", key="headroom:vpcId", value="x", reason="is wrong.", next_step="Mend it."),
                    Problem(rule="b", key="headroom:tags", value="y", reason="too."),
                ]
            )

    monkeypatch.setattr(stacks, "import_module", lambda _: Refusing)
    with pytest.raises(pulumi.RunError) as caught:
        recorder.run(stacks.deploy, config={"headroom:remedy": "emergency"}, stack="prod")
    assert str(caught.value).splitlines() == [
        "2 problems in Pulumi.prod.yaml; nothing was changed.",
        "  - headroom:vpcId: x is wrong. Mend it.",
        "  - headroom:tags: y too.",
    ]
