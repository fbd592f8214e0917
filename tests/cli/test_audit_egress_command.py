"""`headroom audit-egress` against a simulated Azure: Resource Graph, children, faults, and the plan carried out."""

from __future__ import annotations

import fnmatch
import json
import re
import shlex
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

import pytest
import yaml
from azure.core.rest import HttpRequest
from click.testing import CliRunner

from headroom.addresses.problems import ProblemsError
from headroom.cli.audit_egress import audit_egress
from headroom.collect.azure_pipeline import arm_pipeline
from headroom.collect.egress_addresses import read_egress_addresses
from headroom.collect.egress_audit import ROLE_ACTIONS, Manager, read_lists
from headroom.collect.permissions import permissions
from headroom.planning.allow_list_inventory import KINDS
from headroom.planning.audit_record import clear_for, read_record
from headroom.rehearsal.arm.endpoint import Endpoint, start_arm

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OLD, NEW = "20.1.1.1", "20.2.2.2"
STACK = "prod-eus2-egress"


@dataclass
class World:
    """A simulated Azure of its own subscription, and files beside it."""

    arm: Endpoint
    folder: Path
    subscription: str
    made: list[str] = field(default_factory=list)

    def id_of(self, type_: str, *names: str) -> str:
        """An ARM id."""
        namespace, *types = type_.split("/")
        words = "/".join(f"{kind}/{name}" for kind, name in zip(types, names, strict=True))
        return f"/subscriptions/{self.subscription}/resourceGroups/rg/providers/{namespace}/{words}"

    def add(self, type_: str, *names: str, properties: Any = None, **item: Any) -> str:
        """Puts a resource."""
        identifier = self.id_of(type_, *names)
        whole = {"location": "eastus2", "properties": properties or {}, **item, "id": identifier}
        self.arm.add_resources([whole])
        return identifier

    def database(self, *addresses: str, name: str = "billing", **properties: Any) -> str:
        """A SQL server whose rules let addresses in."""
        made = self.add("Microsoft.Sql/servers", name, properties=properties)
        for number, address in enumerate(addresses):
            rule = {"startIpAddress": address, "endIpAddress": address}
            self.add("Microsoft.Sql/servers/firewallRules", name, f"rule-{number}", properties=rule)
        return made

    def inventory(self, **changed: Any) -> str:
        """A file in which every kind is confirmed."""
        lists = [{"name": "none", "kind": kind, "owner": "ann", "confirmed": True, **changed} for kind in KINDS]
        path = self.folder / "lists.yaml"
        path.write_text(yaml.safe_dump({"version": 1, "lists": lists}), encoding="utf-8")
        return str(path)

    def audit(self, *options: str, old: str = OLD, confirmed: bool = True) -> tuple[int, str]:
        """Runs the command; exit code and what it printed."""
        given = ["--new", NEW, "--subscription", self.subscription, "--endpoint-url", self.arm.url]
        given += ["--old", old] if old else []
        given += ["--inventory", self.inventory()] if confirmed else []
        run = CliRunner().invoke(audit_egress, [*given, *options])
        if run.exception is not None and not isinstance(run.exception, SystemExit):
            raise run.exception
        return run.exit_code, run.output

    def found(self, *options: str, **given: Any) -> tuple[int, dict[str, Any]]:
        """Runs the command; exit code and its JSON."""
        code, said = self.audit("--json", *options, **given)
        return code, json.loads(said[said.index("{") :])

    def carry_out(self, plan: str) -> None:
        """Runs the plan's commands, as the Azure CLI would."""
        pipeline = arm_pipeline(self.arm.url)
        for line in plan.splitlines():
            words = shlex.split(line, comments=True)
            if words[:2] == ["az", "rest"]:
                method, url, body = words[3], words[5], json.loads(words[7])
                path = url.removeprefix("https://management.azure.com")
                if method == "patch":
                    body = _patched(pipeline.send_request(HttpRequest("GET", pipeline.format_url(path))).json(), body)
                answer = pipeline.send_request(HttpRequest("PUT", pipeline.format_url(path), json=body))
                answer.raise_for_status()
        pipeline.close()


def _patched(whole: Any, change: Any) -> Any:
    """A resource with a merge patch (RFC 7396)."""
    if not isinstance(whole, dict) or not isinstance(change, dict):
        return change
    return {**whole, **{name: _patched(whole.get(name), value) for name, value in change.items()}}


@pytest.fixture(scope="module")
def arm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """One simulated Azure, with small pages."""
    folder = tmp_path_factory.mktemp("arm")
    with start_arm(folder, page_size=3, graph_page=4, graph_quota=1000, retry_seconds=0.01) as endpoint:
        yield endpoint


@pytest.fixture
def world(
    arm: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[World]:
    """A subscription of the test's own in the simulated Azure, trusted."""
    for name, value in arm.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("headroom.collect.egress_audit.LONGEST_PAUSE", 0.01)
    subscription = str(uuid5(NAMESPACE_URL, request.node.nodeid))
    arm.add_subscription(subscription)
    arm.add_resources([{"id": f"/subscriptions/{subscription}/resourceGroups/rg", "location": "eastus2"}])
    yield World(arm=arm, folder=tmp_path, subscription=subscription)
    arm.clear_faults()


def test_a_database_with_both_addresses_is_clear_and_the_record_says_so(world: World) -> None:
    world.database(OLD, NEW)
    path = world.folder / f"audit.{STACK}.json"
    code, said = world.audit("--record", str(path))
    assert code == 0, said
    assert "verdict: clear" in said
    assert f"next: commit {path}" in said
    record = read_record(path.read_text(encoding="utf-8"), subject=path.name)
    assert (record.old_addresses, record.new_addresses) == ((OLD,), (NEW,))
    assert record.subscriptions == (world.subscription,)
    assert clear_for(record, [NEW], (), datetime.now(UTC)) == ()
    assert {each.type: each.found for each in record.coverage if each.found} == {"Microsoft.Sql/servers": 1}


def test_an_audit_that_is_interrupted_writes_nothing_and_the_next_one_says_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.database(OLD, NEW)
    path = world.folder / f"audit.{STACK}.json"
    assert world.audit("--record", str(path))[0] == 0
    before = path.read_text(encoding="utf-8")

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as cut_off:
        cut_off.setattr("headroom.collect.egress_audit.read_lists", interrupt)
        code, said = world.audit("--record", str(path))
    assert (code, path.read_text(encoding="utf-8")) == (3, before)
    assert "Interrupted: nothing was written." in said
    code, said = world.audit("--record", str(path))
    assert code == 0, said
    assert read_record(path.read_text(encoding="utf-8"), subject=path.name).verdict == "clear"


def test_the_billing_database_is_found_before_the_address_changes_and_the_plan_mends_it(world: World) -> None:
    """The near-miss of a billing job whose database had the old cluster's address alone."""
    world.database(OLD)
    plan = world.folder / "changes.sh"
    code, said = world.audit("--plan", str(plan))
    assert code == 1, said
    assert re.search(r"OLD ONLY +SQL server +billing +firewallRules +rule-0 +lacks 20\.2\.2\.2", said)
    assert f"next: review {plan}, make them, and run this again" in said
    world.carry_out(plan.read_text(encoding="utf-8"))
    code, said = world.audit("--plan", str(plan))
    assert code == 0, said
    assert "SQL server billing, firewallRules: remove rule-0 (20.1.1.1)" in plan.read_text(encoding="utf-8")


def test_a_managed_instance_behind_a_private_endpoint_was_never_the_danger(world: World) -> None:
    """A managed instance has no list of addresses: with its public endpoint off, no public address ever reaches it."""
    instance = {"publicDataEndpointEnabled": False, "subnetId": "/subscriptions/x/subnets/mi"}
    world.add("Microsoft.Sql/managedInstances", "billing", properties=instance)
    code, found = world.found("--accept-unread", "oldAddresses")
    assert code == 0
    (finding,) = found["findings"]
    assert finding["verdict"] == "no_effect"
    assert finding["because"] == "a managed instance has no list of addresses, and its public endpoint is off"


def test_every_kind_of_list_is_found_and_its_change_carried_out(world: World) -> None:
    network = "Microsoft.Network"
    world.database(OLD)
    postgres = "Microsoft.DBforPostgreSQL/flexibleServers"
    world.add(postgres, "pg", properties={"network": {"publicNetworkAccess": "Enabled"}})
    world.add(f"{postgres}/firewallRules", "pg", "aks", properties={"startIpAddress": OLD, "endIpAddress": OLD})
    world.add("Microsoft.ServiceBus/namespaces", "bus")
    rules = {"defaultAction": "Deny", "ipRules": [{"ipMask": OLD, "action": "Allow"}]}
    world.add("Microsoft.ServiceBus/namespaces/networkRuleSets", "bus", "default", properties=rules)
    world.add("Microsoft.Web/sites", "web")
    restrictions = [{"name": "aks", "ipAddress": f"{OLD}/32", "action": "Allow", "priority": 100}]
    config = {"ipSecurityRestrictions": restrictions, "scmIpSecurityRestrictionsUseMain": True}
    world.add("Microsoft.Web/sites/config", "web", "web", properties=config)
    acl = {"networkAcls": {"defaultAction": "Deny", "ipRules": [{"value": OLD}]}}
    world.add("Microsoft.Storage/storageAccounts", "acc", properties=acl)
    world.add("Microsoft.KeyVault/vaults", "kv", properties=acl)
    world.add(f"{network}/ipGroups", "aks", properties={"ipAddresses": [OLD]}, tags={"team": "net"})
    world.add(f"{network}/firewallPolicies", "hub")
    inbound = [{"name": "billing", "sourceAddresses": [OLD]}, {"name": "ledger", "sourceAddresses": [OLD]}]
    group = {"priority": 100, "ruleCollections": [{"name": "in", "action": {"type": "Allow"}, "rules": inbound}]}
    world.add(f"{network}/firewallPolicies/ruleCollectionGroups", "hub", "g", properties=group)
    condition = {"matchVariable": "RemoteAddr", "operator": "IPMatch", "negateCondition": True, "matchValue": [OLD]}
    custom = {"rules": [{"name": "office", "action": "Block", "matchConditions": [condition]}]}
    world.add(f"{network}/frontDoorWebApplicationFirewallPolicies", "waf", properties={"customRules": custom})
    world.add("Microsoft.App/containerApps", "app", properties={
        "configuration": {"ingress": {"external": True, "ipSecurityRestrictions": [
            {"name": "aks", "ipAddressRange": f"{OLD}/32", "action": "Allow"}]}}})  # fmt: skip
    world.arm.forget_calls()
    plan = world.folder / "changes.sh"
    code, found = world.found("--plan", str(plan))
    assert code == 1
    assert sorted(each["verdict"] for each in found["findings"]) == ["old_only"] * 11
    assert world.arm.calls()["POST Microsoft.ResourceGraph/resources"] == 3
    world.carry_out(plan.read_text(encoding="utf-8"))
    code, found = world.found()
    assert sorted(each["verdict"] for each in found["findings"]) == ["both"] * 11
    assert code == 0


SOURCES = (
    "POST Microsoft.ResourceGraph/resources",
    "LIST Microsoft.Resources/subscriptions",
    "LIST Microsoft.Resources/resources",
    "LIST Microsoft.Sql/servers/firewallRules",
)


@pytest.mark.parametrize("effect", ["deny", "throttle", "cut", "empty"])
@pytest.mark.parametrize("source", SOURCES)
def test_a_source_that_fails_for_good_never_leaves_the_audit_clear(world: World, source: str, effect: str) -> None:
    """Resource Graph alone may fail: every resource is then asked for by its id, from Resource Manager's own list."""
    world.database(OLD, NEW)
    world.arm.order(source, effect, count=0)
    code, found = world.found()
    if (source, effect) in {(SOURCES[0], "empty"), (SOURCES[2], "empty")}:
        # The other list of resources has it, and its children say that all is well.
        assert code == 0
        assert [each["verdict"] for each in found["findings"]] == ["both"]
        assert found["coverage"][1]["listedBy"] == "resource_manager"
    else:
        assert code == 3, found
        assert found["undecided"]


@pytest.mark.parametrize("effect", ["deny", "throttle", "cut", "empty"])
def test_when_both_lists_of_resources_fail_nothing_is_clear(world: World, effect: str) -> None:
    world.database(OLD, NEW)
    for source in (SOURCES[0], SOURCES[2]):
        world.arm.order(source, effect, count=0)
    code, found = world.found("--accept-unread", "oldAddresses")
    assert code == 3
    assert any(each["type"] == "subscriptions" for each in found["undecided"])


@pytest.mark.parametrize("effect", ["deny", "throttle", "cut"])
def test_a_resource_whose_rules_are_not_read_is_counted_and_named(world: World, effect: str) -> None:
    world.database(OLD, NEW)
    other = world.database(name="ledger")
    world.arm.order(SOURCES[3], effect, count=0, within="ledger")
    code, found = world.found()
    assert code == 3
    (named,) = found["undecided"]
    assert named["place"] == f"{other} firewallRules"
    (row,) = [each for each in found["coverage"] if each["found"]]
    assert (row["found"], row["read"]) == (2, 1)
    assert (row["denied"], row["throttled"], row["unread"]) == (effect == "deny", effect == "throttle", effect == "cut")
    code, _ = world.found("--accept-unread", "Microsoft.Sql/servers")
    assert code == 0


def test_a_throttled_call_is_repeated_and_counted(world: World) -> None:
    world.database(OLD, NEW)
    for source in SOURCES:
        world.arm.order(source, "throttle", count=2 if source == SOURCES[0] else 1)
    code, found = world.found()
    assert code == 0
    assert found["calls"] == {"subscriptions": 2, "resource_graph": 3, "resources": 2, "lists": 2}


def test_a_page_that_is_missing_makes_the_list_unknown(world: World) -> None:
    world.database(OLD, *(f"20.9.9.{number}" for number in range(5)), NEW)
    world.arm.order(SOURCES[3], "deny", count=0, skip=1)
    code, found = world.found()
    assert code == 3
    assert found["undecided"][0]["because"] == "unreachable (a page of the list is missing)"


def test_pages_of_both_lists_are_all_read(world: World) -> None:
    for number in range(9):
        world.database(OLD, NEW, name=f"server-{number}")
    world.arm.forget_calls()
    code, found = world.found()
    assert code == 0
    assert len(found["findings"]) == 9
    calls = world.arm.calls()
    assert (calls[SOURCES[0]], calls[SOURCES[2]], calls[SOURCES[3]]) == (3, 3, 9)


def test_a_server_in_one_list_alone_is_asked_for_by_its_id(world: World) -> None:
    """Resource Graph lags behind, and does not know each type."""
    world.database(OLD, NEW)
    world.database(OLD, name="ledger")
    known = read_lists(arm_pipeline(world.arm.url), [world.subscription])
    assert {each.type: each.found for each in known.coverage if each.found} == {"Microsoft.Sql/servers": 2}
    world.arm.change(graph_page=1)
    world.arm.order(SOURCES[0], "empty", skip=1)
    code, found = world.found()
    world.arm.change(graph_page=4)
    assert code == 1, found["undecided"]
    assert [each["verdict"] for each in found["findings"]] == ["old_only", "both"]


def test_a_subscription_that_is_not_seen_is_undecided(world: World) -> None:
    world.database(OLD, NEW)
    code, found = world.found("--subscription", "00000000-0000-0000-0000-00000000dead")
    assert code == 3
    assert {"the caller does not see it"} <= {each["because"] for each in found["undecided"]}


def test_without_an_inventory_nothing_is_clear_and_one_is_written_out(world: World) -> None:
    world.database(OLD, NEW)
    code, said = world.audit(confirmed=False)
    assert code == 3, said
    assert "kind: saas-partner, owner: somebody@example.com, confirmed: no" in said


def test_an_inventory_with_a_day_that_is_none_is_refused(world: World) -> None:
    path = world.folder / "inventory.yaml"
    path.write_text("asked: 2027-02-30\n", encoding="utf-8")
    with pytest.raises(ProblemsError, match=r"cannot be read: ValueError\. Leave --inventory out once"):
        world.audit("--inventory", str(path), confirmed=False)


def test_files_that_cannot_be_written_are_told_before_anything_is_read(world: World) -> None:
    world.arm.forget_calls()
    record = world.folder / "nowhere" / "audit.json"
    with pytest.raises(ProblemsError) as refused:
        world.audit("--record", str(record), "--plan", str(world.folder))
    assert [str(problem) for problem in refused.value.problems] == [
        f"--record: {record} is in no folder. Give a path in a folder.",
        f"--plan: {world.folder} is a folder. Give a path in a folder.",
    ]
    assert world.arm.calls() == {}


def test_an_inventory_that_is_not_there_is_told_where_one_comes_from(world: World) -> None:
    with pytest.raises(ProblemsError, match=r"No such file or directory\. Leave --inventory out once"):
        world.audit("--inventory", str(world.folder / "none.yaml"), confirmed=False)


def test_lists_that_are_not_shown_are_counted_and_shown_on_request(world: World) -> None:
    world.database(OLD, NEW)
    world.database("20.9.9.9", name="other")
    _, said = world.audit()
    assert "lists: 1 both, 1 neither; --all shows 1 more" in said
    _, said = world.audit("--all")
    assert "lists: 1 both, 1 neither\n" in said


def test_what_is_left_undecided_is_named_as_accept_unread_takes_it(world: World) -> None:
    world.database(OLD, NEW)
    code, said = world.audit(old="20.7.7.7")
    assert code == 3
    assert "or answer for it with --accept-unread oldAddresses, and run this again" in said


def test_the_wrong_old_address_is_not_clear(world: World) -> None:
    world.database(OLD, NEW)
    code, found = world.found(old="20.7.7.7")
    assert code == 3
    assert [each["type"] for each in found["undecided"]] == ["oldAddresses"]


def cluster(world: World, *, gateway: bool) -> tuple[str, str]:
    """A cluster on a subnet of its own, behind a load balancer and perhaps a NAT gateway; its id and its address."""
    network = "Microsoft.Network"
    outbound = world.add(f"{network}/publicIPAddresses", "lb", sku={"name": "Standard"}, properties={
        "publicIPAllocationMethod": "Static"})  # fmt: skip
    address = world.add(f"{network}/publicIPAddresses", "nat", sku={"name": "Standard"}, properties={
        "publicIPAllocationMethod": "Static"})  # fmt: skip
    nat = world.add(f"{network}/natGateways", "nat", sku={"name": "Standard"}, properties={
        "publicIpAddresses": [{"id": address}]})  # fmt: skip
    inner: dict[str, Any] = {"addressPrefix": "10.20.4.0/22"}
    vnet = {"addressSpace": {"addressPrefixes": ["10.20.0.0/16"]}, "subnets": [{"name": "nodes", "properties": inner}]}
    world.add(f"{network}/virtualNetworks", "vnet", properties=vnet)
    subnet = world.id_of(f"{network}/virtualNetworks/subnets", "vnet", "nodes")
    pool = {"name": "default", "count": 1, "vmSize": "Standard_D4ds_v5", "vnetSubnetID": subnet, "mode": "System"}
    profile = {
        "networkPlugin": "azure",
        "networkPluginMode": "overlay",
        "outboundType": "loadBalancer",
        "loadBalancerSku": "standard",
        "loadBalancerProfile": {
            "outboundIPs": {"publicIPs": [{"id": outbound}]},
            "effectiveOutboundIPs": [{"id": outbound}],
        },
    }
    aks = {"dnsPrefix": "aks", "agentPoolProfiles": [pool], "networkProfile": profile}
    identity = {"type": "SystemAssigned"}
    made = world.add("Microsoft.ContainerService/managedClusters", "aks", properties=aks, identity=identity)
    if gateway:  # attached later: AKS refuses to make a cluster behind it with a load balancer
        attached = {**inner, "natGateway": {"id": nat}}
        world.add(f"{network}/virtualNetworks/subnets", "vnet", "nodes", properties=attached)
    manager = Manager(arm_pipeline(world.arm.url))
    found = read_egress_addresses(manager, made)
    assert found.by == (("NAT gateway nat",) if gateway else ("load balancer",))
    return made, found.addresses[0]


@pytest.mark.parametrize("gateway", [False, True], ids=["load balancer", "NAT gateway"])
def test_the_old_addresses_are_found_from_the_cluster(world: World, *, gateway: bool) -> None:
    identifier, address = cluster(world, gateway=gateway)
    code, found = world.found("--cluster", identifier, old="")
    assert code == 3
    assert found["oldAddresses"] == [address]
    code, _ = world.found("--cluster", "aks", "--resource-group", "rg", old="")
    assert code == 3


def test_an_account_of_the_clusters_own_region_is_explained(world: World) -> None:
    identifier, address = cluster(world, gateway=False)
    acl = {"networkAcls": {"defaultAction": "Deny", "ipRules": [{"value": address}]}}
    world.add("Microsoft.Storage/storageAccounts", "acc", properties=acl)
    code, said = world.audit("--cluster", identifier, old="")
    assert code == 0, said
    assert "no effect" in said
    assert "IP rules do nothing for callers of the account's own region" in said


def test_a_cluster_that_is_not_there_is_refused_with_the_way_on(world: World) -> None:
    with pytest.raises(ProblemsError, match=r"is no AKS cluster\. `az aks list --output table` lists"):
        world.audit("--cluster", world.id_of("Microsoft.ContainerService/managedClusters", "none"), old="")


def test_everything_wrong_on_the_command_line_is_said_at_once(world: World) -> None:
    run = CliRunner().invoke(audit_egress, ["--old", "10.0.0.1", "--cluster", "aks", "--endpoint-url", world.arm.url])
    assert isinstance(run.exception, ProblemsError)
    assert [problem.rule for problem in run.exception.problems] == ["public-address", "new-addresses", "cluster"]
    with pytest.raises(ProblemsError, match="is no type that the audit looks at"):
        world.audit("--accept-unread", "Microsoft.Sql/server")
    with pytest.raises(ProblemsError, match="as an old and as a new address"):
        world.audit("--new", OLD)


def test_an_endpoint_elsewhere_gets_no_token(world: World) -> None:
    with pytest.raises(ProblemsError, match="is not an https address of this machine"):
        world.audit("--endpoint-url", "https://example.com")


def test_the_role_allows_every_call_that_the_audit_makes_and_no_change(world: World) -> None:
    identifier, _ = cluster(world, gateway=True)
    world.database(OLD)
    world.add("Microsoft.Web/sites", "web")
    world.add("Microsoft.Web/sites/config", "web", "web", properties={"ipSecurityRestrictions": []})
    world.add("Microsoft.EventHub/namespaces", "hub")
    world.add("Microsoft.Network/firewallPolicies", "hub")
    world.arm.forget_calls()
    world.audit("--cluster", identifier, old="")
    role = json.loads(permissions("azure-audit"))
    assert role["Actions"] == list(ROLE_ACTIONS)
    assert all(action.endswith("/read") for action in role["Actions"])
    for operation in world.arm.calls():
        _, _, type_ = operation.partition(" ")
        wanted = {"Microsoft.Resources/resources": "Microsoft.Resources/subscriptions/resources"}.get(type_, type_)
        assert any(fnmatch.fnmatchcase(f"{wanted}/read".casefold(), action.casefold()) for action in role["Actions"]), (
            operation
        )


def test_the_role_is_printed() -> None:
    run = CliRunner().invoke(audit_egress, ["--role"])
    assert (run.exit_code, run.output) == (0, permissions("azure-audit"))


def test_the_live_check_writes_a_job_and_compares_its_logs(tmp_path: Path) -> None:
    job = tmp_path / "job.yaml"
    run = CliRunner().invoke(
        audit_egress, ["--live-check", str(job), "--echo", "https://echo.example.com", "--new", NEW]
    )
    assert run.exit_code == 0, run.output
    assert yaml.safe_load(job.read_text(encoding="utf-8"))["kind"] == "Job"
    delete = run.output.index("kubectl --context CONTEXT delete job headroom-source-address --ignore-not-found")
    assert delete < run.output.index("apply -f"), "an ended Job is not run again, and its logs are those of before"
    with pytest.raises(ProblemsError, match="No URL is given to ask"):
        audit_egress.main(["--live-check", str(job)], standalone_mode=False)
    for address, code in ((NEW, 0), (OLD, 0), ("20.9.9.9", 1), ("", 3)):
        (tmp_path / "x.log").write_text(f"source-address {address}\n", encoding="utf-8")
        run = CliRunner().invoke(audit_egress, ["--old", OLD, "--new", NEW, "--seen", str(tmp_path / "x.log")])
        assert run.exit_code == code, run.output
