"""The density stack: aws-node's settings alone, from the file that a plan writes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from headroom.addresses.problems import ProblemsError
from headroom.planning.planner import make_plan
from headroom.rehearsal import made
from stacks import density
from tests.planning.conftest import IDLE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.conftest import Recorder

CHECKOUT = Path(__file__).parents[2]
DECLARED = yaml.safe_load((CHECKOUT / "Pulumi.yaml").read_text(encoding="utf-8"))["config"]
DEFAULTS = {key: entry["default"] for key, entry in DECLARED.items() if "default" in entry}


@pytest.fixture(scope="module")
def planned() -> dict[str, Any]:
    """The configuration that a plan against idle addresses writes."""
    plan = make_plan(made.exhausted(), IDLE)
    config: dict[str, Any] = yaml.safe_load(plan.files[0].text)["config"]
    return config


def refused(recorder: Recorder, config: Mapping[str, Any]) -> list[str]:
    """Key and rule of every problem, with the defaults of all stacks that the engine adds."""
    found: list[str] = []

    def program() -> None:
        try:
            density.deploy()
        except ProblemsError as error:
            found.extend(f"{problem.key}: {problem.message}" for problem in error.problems)

    recorder.run(program, config={**DEFAULTS, **config})
    return found


def test_what_a_plan_writes_is_one_component_and_the_add_on(recorder: Recorder, planned: dict[str, Any]) -> None:
    assert refused(recorder, planned) == []
    assert sorted((made.type, made.name) for made in recorder.registrations) == [
        ("aws:eks/addon:Addon", "cni"),
        ("headroom:index:CniSettings", "cni"),
    ]


def test_a_self_managed_cni_is_patched(recorder: Recorder, planned: dict[str, Any]) -> None:
    settings = {"managedBy": "daemonset", "settings": {"WARM_IP_TARGET": "5"}}
    assert refused(recorder, {**planned, "headroom:cniSettings": settings}) == []
    assert [made.type for made in recorder.registrations] == [
        "headroom:index:CniSettings",
        "kubernetes:apps/v1:DaemonSetPatch",
    ]


def test_without_settings_there_is_nothing_to_do(recorder: Recorder, planned: dict[str, Any]) -> None:
    [problem] = refused(recorder, {**planned, "headroom:cniSettings": {}})
    assert problem.startswith("headroom:cniSettings: headroom:cniSettings: nothing is set.")
    assert recorder.registrations == []


def test_contradictory_settings_register_nothing(recorder: Recorder, planned: dict[str, Any]) -> None:
    settings = {"managedBy": "daemonset", "settings": {"MINIMUM_IP_TARGET": "10"}}
    found = refused(recorder, {**planned, "headroom:cniSettings": settings})
    problem = "\n".join(found)
    assert "MINIMUM_IP_TARGET" in problem
    assert recorder.registrations == []


def test_a_key_of_another_stack_that_is_set_is_refused_and_its_default_is_not(
    recorder: Recorder, planned: dict[str, Any]
) -> None:
    [problem] = refused(recorder, {**planned, "headroom:secondaryCidrs": ["100.64.0.0/16"]})
    assert problem.startswith("headroom:secondaryCidrs")
    assert recorder.registrations == []
