"""The audit as a whole: what it comes to, what has to change in which order, what nobody has confirmed."""

from __future__ import annotations

import shlex
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest
import yaml

from headroom.addresses.problems import ProblemsError
from headroom.planning.allow_list_inventory import KINDS, Inventory, example, open_entries, read_inventory
from headroom.planning.allow_list_services import CLUSTER, SQL, Parent
from headroom.planning.allow_lists import Caller, Span
from headroom.planning.audit_record import AuditVerdict, Named
from headroom.planning.egress_audit import OLD_ADDRESSES, Reading, audit
from headroom.planning.egress_changes import commands_of, script
from headroom.planning.live_check import check_echo, job_manifest, read_seen

OLD, NEW = "20.1.1.1", "20.2.2.2"
CALLER = Caller(old=(Span.parse(OLD),), new=(Span.parse(NEW),))
NOW = datetime(2026, 3, 7, tzinfo=UTC)
ROOT = "/subscriptions/s1/resourceGroups/rg/providers"
POLICY = "Microsoft.Network/firewallPolicies"


def inventory(**changed: Any) -> Inventory:
    """Every kind, confirmed."""
    lists = [{"name": "none", "kind": kind, "owner": "ann", "confirmed": True} for kind in KINDS]
    return read_inventory({"version": 1, "lists": [lists[0] | changed, *lists[1:]]}, "lists.yaml")


def server(name: str, **rules: str) -> Parent:
    children = [
        {"name": rule, "properties": {"startIpAddress": address, "endIpAddress": address}}
        for rule, address in rules.items()
    ]
    return Parent(item={"id": f"{ROOT}/{SQL}/{name}", "properties": {}}, children=tuple(children))


def cluster(name: str, *ranges: str) -> Parent:
    properties = {"apiServerAccessProfile": {"authorizedIPRanges": list(ranges)}}
    return Parent(item={"id": f"{ROOT}/{CLUSTER}/{name}", "properties": properties})


def reading(**parents: list[Parent]) -> Reading:
    types = {"sql": SQL, "aks": CLUSTER, "policy": POLICY}
    found = {types[name]: tuple(each) for name, each in parents.items()}
    return Reading(subscriptions=("s1",), parents=found)


def test_an_audit_with_both_addresses_everywhere_is_clear() -> None:
    found = audit(reading(sql=[server("billing", old=OLD, new=NEW)]), CALLER, inventory())
    assert found.record(NOW).verdict is AuditVerdict.CLEAR
    assert found.record(NOW).lists == {"both": 1}
    assert found.changes == ()
    assert [entry.name for _, entries in found.removals for entry in entries] == ["old"]


def test_a_list_with_the_old_address_alone_is_the_verdict_whatever_else_is_unknown() -> None:
    unread = Parent(item={"id": f"{ROOT}/{SQL}/x"}, unread="denied")
    found = audit(reading(sql=[server("billing", old=OLD), unread]), CALLER, Inventory())
    assert found.record(NOW).verdict is AuditVerdict.OLD_ONLY
    assert [each.list.name for each in found.findings] == ["billing", "x"]


def test_what_could_not_be_read_is_undecided() -> None:
    unread = Parent(item={"id": f"{ROOT}/{SQL}/x"}, unread="denied")
    found = audit(reading(sql=[server("billing", old=OLD, new=NEW), unread]), CALLER, inventory())
    assert found.record(NOW).verdict is AuditVerdict.UNDECIDED
    assert found.undecided == (Named(type=SQL, place=f"{ROOT}/{SQL}/x firewallRules", because="denied"),)
    late = Named(type="subscriptions", place="s2", because="denied")
    seen = replace(reading(sql=[server("billing", old=OLD, new=NEW)]), unseen=(late,))
    assert audit(seen, CALLER, inventory()).undecided == (late,)


def test_an_audit_that_finds_the_old_address_nowhere_is_undecided() -> None:
    for parents in (reading(), reading(sql=[server("billing", office="20.9.9.9", new=NEW)])):
        found = audit(parents, CALLER, inventory())
        assert [(each.type, each.place) for each in found.undecided] == [(OLD_ADDRESSES, OLD)]
        assert found.record(NOW).verdict is AuditVerdict.UNDECIDED


def test_authorized_ranges_come_first_and_are_sent_as_a_whole() -> None:
    found = audit(
        reading(sql=[server("billing", old=OLD, aks="20.1.0.0")], aks=[cluster("new one", f"{OLD}/32", "20.9.0.0/16")]),
        CALLER,
        inventory(),
    )
    assert [change.first for change in found.changes] == [True, False]
    (command,) = commands_of(found.changes[0].addition)
    assert shlex.split(command) == [
        *("az", "aks", "update", "--subscription", "s1", "--resource-group", "rg", "--name", "new one"),
        *("--api-server-authorized-ip-ranges", f"{OLD}/32,20.9.0.0/16,{NEW}/32"),
    ]
    text = script(found)
    assert text.index("az aks update") < text.index("az rest")
    assert "# 1. AKS API server new one, apiServerAccessProfile.authorizedIPRanges: add 20.2.2.2/32" in text
    assert "#    SQL server billing, firewallRules: remove old (20.1.1.1)" in text


def test_a_full_list_of_ranges_ends_the_script_instead_of_a_command() -> None:
    ranges = [f"20.9.{number}.0/24" for number in range(199)]
    found = audit(reading(aks=[cluster("full", *ranges, f"{OLD}/32")]), CALLER, inventory())
    assert commands_of(found.changes[0].addition) == ()
    assert "takes 200 ranges at most, and would have 201.\nexit 1" in script(found)


def test_two_rules_of_one_group_are_changed_by_one_command() -> None:
    rules = [{"name": name, "sourceAddresses": [OLD]} for name in ("billing", "ledger")]
    properties = {"priority": 100, "ruleCollections": [{"name": "c", "action": {"type": "Allow"}, "rules": rules}]}
    group = {"id": f"{ROOT}/{POLICY}/hub/ruleCollectionGroups/g", "properties": properties}
    hub = Parent(item={"id": f"{ROOT}/{POLICY}/hub", "properties": {}}, children=(group,))
    first, second = audit(reading(policy=[hub]), CALLER, inventory()).changes
    (request,) = first.addition.requests
    sent = request.body["properties"]["ruleCollections"][0]["rules"]
    assert [each["sourceAddresses"] for each in sent] == [[OLD, NEW], [OLD, NEW]]
    assert second.addition.requests == ()
    assert second.addition.by_hand == "nothing: the command for g/c/billing adds it too"


def test_a_name_cannot_leave_its_comment_or_its_quotes() -> None:
    hostile = server("x", **{"old\nrm -rf /": OLD})
    hostile = replace(hostile, item={**hostile.item, "id": f"{ROOT}/{SQL}/x'; rm -rf /;\n'"})
    words = shlex.split(script(audit(reading(sql=[hostile]), CALLER, inventory())), comments=True)
    assert words[:5] == ["set", "-eu", "az", "rest", "--method"]
    assert len(words) == 2 + 8
    assert "rm" not in words


def test_a_rule_that_has_more_than_the_old_address_stays() -> None:
    wide = Parent(
        item={"id": f"{ROOT}/{SQL}/billing", "properties": {}},
        children=({"name": "wide", "properties": {"startIpAddress": "20.1.0.0", "endIpAddress": "20.1.9.9"}},),
    )
    (change,) = audit(reading(sql=[wide]), CALLER, inventory()).changes
    assert change.remove_later == ()
    assert [entry.name for entry in change.keep] == ["wide"]


def test_kinds_that_nobody_mentioned_are_open() -> None:
    assert [each.type for each in open_entries(Inventory(), CALLER.new)] == list(KINDS)
    assert open_entries(inventory(), CALLER.new) == ()


@pytest.mark.parametrize(
    ("changed", "because"),
    [
        ({"name": "Acme", "confirmed": False}, "ann has not confirmed it"),
        ({"name": "Acme", "confirmed": True}, "ann confirmed it without 20.2.2.2"),
        ({"name": "Acme", "confirmed": "2026-03-01", "addresses": ["20.2.9.9"]}, "ann confirmed it without 20.2.2.2"),
        ({"name": "Acme", "confirmed": date(2026, 3, 1), "addresses": [NEW]}, ""),
        ({"name": "Acme", "confirmed": "yes", "addresses": ["20.2.2.0/24"]}, ""),
        ({"name": "none", "confirmed": "no"}, "ann has not confirmed it"),
    ],
    ids=str,
)
def test_a_declared_list_is_open_until_its_owner_confirms_the_new_addresses(
    changed: dict[str, Any], because: str
) -> None:
    assert [each.because for each in open_entries(inventory(**changed), CALLER.new)] == ([because] if because else [])


def test_the_example_of_an_inventory_can_be_read_and_confirms_nothing() -> None:
    found = read_inventory(yaml.safe_load(example(CALLER.new)), "lists.yaml")
    assert len(open_entries(found, CALLER.new)) == len(KINDS)


def test_everything_wrong_with_an_inventory_is_said_at_once() -> None:
    lists: list[Any] = [
        {"name": "", "kind": "saas", "owner": 5, "confirmed": "perhaps", "adresses": []},
        {"name": "x", "kind": "saas-partner", "owner": "ann", "confirmed": True, "addresses": ["10.0.0.1"]},
        "x",
    ]
    with pytest.raises(ProblemsError) as refused:
        read_inventory({"version": 1, "lists": lists}, "lists.yaml")
    assert [problem.key for problem in refused.value.problems] == [
        "lists.yaml: lists[0].adresses",
        "lists.yaml: lists[0].name",
        "lists.yaml: lists[0].owner",
        "lists.yaml: lists[0].kind",
        "lists.yaml: lists[0].confirmed",
        "lists.yaml: lists[1].addresses",
        "lists.yaml: lists[2]",
    ]


@pytest.mark.parametrize("document", [None, [], {}, {"version": 2, "lists": []}, {"version": 1, "lists": "x"}], ids=str)
def test_what_is_no_inventory_is_refused(document: object) -> None:
    with pytest.raises(ProblemsError, match="has no version: 1"):
        read_inventory(document, "lists.yaml")


def test_the_job_asks_the_echo_service_and_needs_no_right() -> None:
    job = yaml.safe_load(job_manifest("https://echo.example.com/ip?x=1"))
    pod = job["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["containers"][0]["env"] == [{"name": "ECHO_URL", "value": "https://echo.example.com/ip?x=1"}]
    assert pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True
    assert "source-address $address" in pod["containers"][0]["command"][2]


def test_an_echo_service_is_a_url() -> None:
    assert check_echo("https://echo.example.com/ip") == []
    for url in ("", "echo.example.com", "file:///etc/passwd", "https://a:b@x/", "https://x/'; rm", "https://["):
        assert [problem.rule for problem in check_echo(url)] == ["echo-url"], url


def test_logs_of_the_job_are_compared_with_what_was_audited() -> None:
    seen = read_seen("x", f"source-address {NEW}\nnoise\nsource-address {OLD}\nsource-address 20.9.9.9\n", *_both())
    assert (seen.outdated, seen.unexpected, seen.unreadable) == ((OLD,), ("20.9.9.9",), ())
    assert read_seen("x", "source-address <html>\n", *_both()).unreadable == ("<html>",)
    assert read_seen("x", "curl: (28) timeout\n", *_both()).addresses == ()


def _both() -> tuple[tuple[Span, ...], tuple[Span, ...]]:
    return CALLER.old, CALLER.new
