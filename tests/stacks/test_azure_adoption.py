"""What is there already is taken over by an import id that was looked up; what is somebody else's is left to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pulumi
import pytest

from headroom.addresses.problems import Problem, ProblemsError
from stacks.azure_adoption import Candidate, find_existing, tagged, theirs
from stacks.recorded import recorded_resources
from tests.conftest import READ_STATE

if TYPE_CHECKING:
    from tests.conftest import Recorder

GET = "azure-native:network:getNatGateway"
STACK = "prod-eus2-egress"
ID = "/subscriptions/s/resourcegroups/RG-Prod/providers/Microsoft.Network/natGateways/NAT"
OURS = {"id": ID, "tags": {"headroom:stack": f"headroom/{STACK}"}, "provisioningState": "Succeeded"}


def gateway(**changes: Any) -> Candidate:
    """A NAT gateway that the stack declares."""
    given: dict[str, Any] = {
        "type": "azure-native:network:NatGateway",
        "name": "egress-main",
        "key": "headroom:gateways.main.name",
        "called": "nat",
        "function": "network:getNatGateway",
        "arguments": {"resourceGroupName": "rg-prod", "natGatewayName": "nat"},
        **changes,
    }
    return Candidate(**given)


def looked(recorder: Recorder, answer: Any, candidate: Candidate | None = None) -> dict[str, str]:
    """What is found where Azure answers so, and the state has nothing."""
    recorder.answers.setdefault(READ_STATE, {"outputs": {}})
    recorder.answers[GET] = answer
    found: dict[str, str] = {}
    recorder.run(lambda: found.update(find_existing([candidate or gateway()], recorded_resources())), stack=STACK)
    return found


def refused(recorder: Recorder, answer: Any, candidate: Candidate | None = None) -> Problem:
    """The problem with which it is refused."""
    with pytest.raises(ProblemsError) as caught:
        looked(recorder, answer, candidate)
    (problem,) = caught.value.problems
    return problem


def test_what_carries_the_stacks_tag_is_taken_over_by_its_id_in_our_spelling(recorder: Recorder) -> None:
    """Azure answers in the spelling of whoever made the group; another one would be another resource."""
    found = looked(recorder, OURS)
    expected = "/subscriptions/s/resourcegroups/rg-prod/providers/Microsoft.Network/natGateways/nat"
    assert found == {"egress-main": expected}


def test_names_that_differ_in_case_alone_or_are_called_like_a_type_keep_their_places(recorder: Recorder) -> None:
    place = "/subscriptions/s/resourcegroups/{}/providers/Microsoft.Network/natGateways/{}"
    for group, name, answered in (
        ("Shop", "shop", place.format("SHOP", "SHOP")),
        ("Providers", "NATGateways", place.format("providers", "natgateways")),
    ):
        candidate = gateway(called=name, arguments={"resourceGroupName": group, "natGatewayName": name})
        found = looked(recorder, {**OURS, "id": answered}, candidate)
        assert found == {"egress-main": place.format(group, name)}


def test_what_is_not_there_is_made(recorder: Recorder) -> None:
    gone = recorder.failing('Status=404 Code="ResourceNotFound" Message="The Resource was not found."')
    assert looked(recorder, gone) == {}


def test_a_complete_state_asks_azure_nothing(recorder: Recorder) -> None:
    recorder.answers[READ_STATE] = {
        "outputs": {f"urn:pulumi:{STACK}::headroom::azure-native:network:NatGateway::egress-main": {"outputs": {}}}
    }
    assert looked(recorder, OURS) == {}
    assert recorder.tokens() == [READ_STATE]


def test_without_an_engine_nothing_is_looked_up(recorder: Recorder) -> None:
    recorder.answers[READ_STATE] = {}
    assert looked(recorder, OURS) == {}
    assert recorder.tokens() == [READ_STATE]


@pytest.mark.parametrize(
    ("tags", "who"), [(None, "something else"), ({"Headroom:Stack": "headroom/other"}, "the stack headroom/other")]
)
def test_what_others_made_is_refused_with_the_way_to_give_it(
    recorder: Recorder, tags: dict[str, str] | None, who: str
) -> None:
    problem = refused(recorder, {**OURS, "tags": tags})
    assert (problem.rule, problem.key) == ("made-by-others", "headroom:gateways.main.name")
    assert problem.reason == f"is there already, made by {who}."
    assert f"tag it headroom:stack=headroom/{STACK}" in problem.next_step


@pytest.mark.parametrize(
    ("state", "option"), [("Creating", "--created"), ("Updating", "--updated"), ("Deleting", "--deleted")]
)
def test_what_azure_is_still_at_work_on_is_waited_for(recorder: Recorder, state: str, option: str) -> None:
    problem = refused(recorder, {**OURS, "provisioningState": state})
    assert problem.reason == f"is {state}: Azure goes on with what was begun."
    assert problem.next_step.endswith(f"az resource wait {option} --ids {ID}")


@pytest.mark.parametrize("state", ["Failed", "Canceled"])
def test_what_has_failed_is_taken_over_and_mended_by_the_update(recorder: Recorder, state: str) -> None:
    assert looked(recorder, {**OURS, "provisioningState": state}).keys() == {"egress-main"}


def test_what_belongs_to_others_needs_no_tag_but_has_to_be_there(recorder: Recorder) -> None:
    candidate = gateway(foreign=theirs, must=True)
    assert looked(recorder, {"id": ID}, candidate).keys() == {"egress-main"}
    problem = refused(recorder, recorder.failing('Status=404 Code="NotFound" Message="no"'), candidate)
    assert problem.reason == "is not there, and this stack does not make it."


def test_what_may_not_be_read_is_not_taken_for_missing(recorder: Recorder) -> None:
    problem = refused(recorder, recorder.failing('Status=403 Code="AuthorizationFailed" Message="no"'))
    assert (problem.rule, problem.value) == ("lookup", "nat")
    assert "AuthorizationFailed" in problem.reason


def test_a_tag_is_read_in_any_case(recorder: Recorder) -> None:
    said: list[str] = []
    recorder.run(lambda: said.append(tagged({"tags": {"HEADROOM:STACK": f"headroom/{STACK}"}})), stack=STACK)
    assert said == [""]


def test_what_has_to_be_there_is_not_told_as_made_by_a_run_that_was_cut_off(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(pulumi.log, "info", lambda text, *_: said.append(text))
    assert looked(recorder, OURS, gateway(must=True))
    assert said == []
    assert looked(recorder, OURS)
    assert said == ["nat is there, made by a run that was cut off: it is taken over."]
