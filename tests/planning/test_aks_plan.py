"""Plans of AKS clusters: the incidents, the ways to overlay, outbound types, and facts that were not read."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from click.testing import CliRunner

from headroom.addresses.blocks import Block
from headroom.addresses.problems import ProblemsError
from headroom.cli.check import check
from headroom.diagnosis.classifier import diagnose
from headroom.diagnosis.verdict import RootCause
from headroom.facts.azure import (
    AzureRoute,
    AzureSubnet,
    IpMasqAgent,
    LoadBalancerProfile,
    ManagedCluster,
    NatGateway,
    NetworkProfile,
    NetworkSecurityGroup,
    PublicAddress,
    PublicPrefix,
    SecurityRule,
    VnetPeering,
)
from headroom.facts.document import load
from headroom.facts.kubernetes import CronJob, KedaScaler, Lease, Pod, Workload
from headroom.facts.values import Reason, Unknown, items, known
from headroom.planning.aks_choices import Choices, read_choices
from headroom.planning.aks_eligibility import Answer, in_place
from headroom.planning.aks_plan import is_aks
from headroom.planning.aks_situation import read_aks_situation
from headroom.planning.egress import read_egress
from headroom.planning.fill_in import ASKED
from headroom.planning.overlay_cluster import read_overlay
from headroom.planning.plan import Plan, plan_from_json, plan_to_json
from headroom.planning.planner import make_plan
from headroom.planning.recheck import Recheck, recheck
from headroom.planning.retirement import read_retirement
from headroom.planning.traffic import read_traffic
from headroom.rehearsal.spoiled import Fault, spoiled
from tests.aks import conftest as made
from tests.planning.conftest import found

if TYPE_CHECKING:
    from headroom.facts.snapshot import Snapshot

DENIED = Unknown(Reason.DENIED, "AuthorizationFailed")
CHECKOUT = Path(__file__).parents[2]
RELIEFS = {"add-nodes", "drain-nodes", "more-outbound-ports", "cordon-without-route"}
ORIGIN = (
    f"/subscriptions/{made.SUBSCRIPTION}/resourceGroups/rg-edge/providers/Microsoft.Cdn/profiles/fd-checkout"
    "/originGroups/checkout/origins/aks-kubenet"
)
KEPT = {
    "aks-kubenet-exhausted": ["add-nodes", "drain-nodes", "overlay-blue-green"],
    "aks-max-pods": ["add-nodes", "raise-max-pods"],
    "aks-node-subnet-full": ["larger-node-subnet"],
    "aks-overlay-block": ["drain-nodes", "lower-max-pods"],
    "aks-pod-cidr-exhausted": ["grow-pod-cidr"],
    "aks-pod-subnet-exhausted": ["larger-pod-subnet"],
    "aks-route-limit": ["cordon-without-route", "overlay-blue-green"],
    "aks-snat": ["more-outbound-ports", "nat-gateway"],
}
"""The options that the plan of each incident takes, in the order in which they are weighed."""


def facts_of(name: str) -> Snapshot:
    return load((made.INCIDENTS_FOLDER / name / "facts.json").read_text(encoding="utf-8"), subject=name)


def planned(facts: Snapshot, *pairs: str, ahead: bool = False, price: float | None = None) -> Plan:
    return make_plan(facts, diagnose(facts), ahead=ahead, choices=read_choices(pairs, price))


def kept(plan: Plan) -> list[str]:
    return [option.name for option in plan.options if option.kept]


def reason(plan: Plan, name: str) -> str:
    return next(option.reason for option in plan.options if option.name == name)


def config_of(plan: Plan, stack: str) -> dict[str, Any]:
    """The `headroom:` keys of a stack file of the plan, as a YAML reader has them."""
    text = next(file.text for file in plan.files if file.path == f"stacks/Pulumi.{stack}.yaml")
    return {key.partition(":")[2]: value for key, value in yaml.safe_load(text)["config"].items() if "headroom:" in key}


def commands(plan: Plan) -> str:
    return "\n".join(step.command for step in plan.steps)


def kubenet(cluster: dict[str, Any] | None = None, **network: Any) -> Snapshot:
    """The cluster of the published story, with no policy engine and a user-assigned identity: it may go in place."""
    facts = made.kubenet_exhausted()
    managed = made.azure_of(facts).cluster
    assert isinstance(managed, ManagedCluster)
    profile = replace(made.KUBENET, network_policy=None, **network)
    fields: dict[str, Any] = {"identity_type": "UserAssigned", **(cluster or {})}
    return made.with_azure(facts, cluster=replace(managed, network=profile, **fields))


def with_pool(facts: Snapshot, **changes: Any) -> Snapshot:
    [pool] = items(made.azure_of(facts).pools)
    return made.with_azure(facts, pools=(replace(pool, **changes),))


def with_subnet(facts: Snapshot, *more: AzureSubnet, **changes: Any) -> Snapshot:
    [vnet] = items(made.azure_of(facts).vnets)
    [subnet, *rest] = items(vnet.subnets)
    return made.with_azure(facts, vnets=(replace(vnet, subnets=(replace(subnet, **changes), *rest, *more)),))


# The incidents.


@pytest.mark.parametrize("name", sorted(KEPT))
def test_an_incident_has_its_plan_and_the_same_facts_give_the_same_bytes(name: str) -> None:
    facts = facts_of(name)
    diagnosis = diagnose(facts)
    plan = make_plan(facts, diagnosis)
    assert kept(plan) == KEPT[name]
    assert plan.causes == tuple(cause.name for cause in diagnosis.causes)
    assert all(option.reason for option in plan.options)
    assert plan.steps
    assert plan.postconditions
    assert bool(plan.stack) == any(file.path.endswith(f"Pulumi.{plan.stack}.yaml") for file in plan.files)
    document = json.dumps(plan_to_json(plan))
    assert document == json.dumps(plan_to_json(make_plan(facts, diagnosis)))
    assert plan_from_json(json.loads(document)) == plan
    assert recheck(plan, facts) == Recheck()


def test_every_incident_with_a_cause_is_here() -> None:
    causes = {
        name: json.loads((made.INCIDENTS_FOLDER / name / "expected.json").read_text())["causes"]
        for name in made.INCIDENTS
    }
    assert {name for name, found in causes.items() if found} == set(KEPT)


def test_the_files_of_the_way_beside_say_what_the_stacks_read() -> None:
    plan = planned(facts_of("aks-kubenet-exhausted"))
    egress = read_egress(config_of(plan, "aks-prod-eus2-egress"))
    assert egress.attach is False
    assert egress.gateways["main"].zones == ("1",)
    overlay = read_overlay(config_of(plan, "aks-prod-eus2-overlay"))
    assert (overlay.pod_cidr, overlay.subnet.cidr_block) == ("100.64.0.0/16", "10.20.0.0/24")
    assert (overlay.network_policy, overlay.outbound_type) == ("calico", "userAssignedNATGateway")
    assert overlay.subnet.nat_gateway_id == f"{made.GROUP}/Microsoft.Network/natGateways/nat-aks-prod-eus2"
    assert [(pool.name, pool.count, pool.max_pods) for pool in overlay.pools] == [("default", 9, 110)]
    traffic = read_traffic(config_of(filled(plan), "aks-prod-eus2-traffic"))
    assert (traffic.steps, traffic.step, traffic.profile) == ((10, 25, 50, 100), 0, "fd-checkout")
    end = read_retirement(config_of(plan, "aks-prod-eus2-retire"))
    assert (end.name, end.phase, end.system_pools) == ("aks-prod-eus2", "keep", ("default",))
    assert end.traffic_stack == "aks-prod-eus2-traffic"


def test_a_named_origin_and_workspace_leave_the_host_names_alone_to_be_filled_in() -> None:
    workspace = "11111111-2222-3333-4444-555555555555"
    plan = planned(facts_of("aks-kubenet-exhausted"), f"origin={ORIGIN}", f"workspace={workspace}")
    traffic = read_traffic(config_of(filled(plan), "aks-prod-eus2-traffic"))
    assert (traffic.resource_group, traffic.profile, traffic.origin_group) == ("rg-edge", "fd-checkout", "checkout")
    assert (traffic.old.name, traffic.gate.workspace_id) == ("aks-kubenet", workspace)
    text = next(file.text for file in plan.files if file.path.endswith("traffic.yaml"))
    left = [line.split(":")[0].strip() for line in text.splitlines() if "fill-in" in line]
    assert left == ["hostName", "originHostHeader", "hostName", "originHostHeader"]


def test_what_is_still_to_be_filled_in_is_refused_key_by_key_with_the_way_to_find_it() -> None:
    plan = planned(facts_of("aks-kubenet-exhausted"))
    with pytest.raises(ProblemsError) as refused:
        read_traffic(config_of(plan, "aks-prod-eus2-traffic"))
    problems = {problem.key.removeprefix("headroom:"): problem for problem in refused.value.problems}
    assert set(problems) == set(ASKED), "each key that a plan leaves open is explained, and no other is"
    assert problems["frontDoor.profile"].message == (
        "headroom:frontDoor.profile: fill-in-profile is still to be filled in: Front Door's profile. Find it: az "
        "resource list --resource-type Microsoft.Cdn/profiles --output table"
    )
    assert all(problem.next_step.startswith("Find it: ") for problem in problems.values())


@pytest.mark.parametrize(
    ("stack", "read"), [("egress", read_egress), ("overlay", read_overlay), ("retire", read_retirement)]
)
def test_every_stack_refuses_a_value_that_is_still_to_be_filled_in(stack: str, read: Any) -> None:
    config = config_of(planned(facts_of("aks-kubenet-exhausted")), f"aks-prod-eus2-{stack}")
    read(config)
    for key, value in config.items():
        if isinstance(value, str) and key != "remedy":
            with pytest.raises(ProblemsError, match=f"headroom:{key}: fill-in-this is still to be filled in"):
                read({**config, key: "fill-in-this"})


def test_what_a_plan_writes_is_taken_over_and_nothing_is_imported_first() -> None:
    for name in ("aks-kubenet-exhausted", "aks-snat"):
        plan = planned(facts_of(name))
        assert "pulumi import" not in commands(plan)
        assert not any("import." in file.path for file in plan.files)


def written(plan: Plan, folder: Path) -> Path:
    """A checkout with the plan's files in it."""
    for part in ("Pulumi.yaml", "__main__.py"):
        (folder / part).write_bytes((CHECKOUT / part).read_bytes())
    (folder / "stacks").mkdir()
    for file in plan.files:
        (folder / file.path).write_text(file.text, encoding="utf-8")
    return folder


def filled(plan: Plan) -> Plan:
    """A plan in whose stack files is written what only a person knows."""
    files = []
    for file in plan.files:
        text = file.text
        if "/Pulumi." in file.path:
            for open_, value in FILLED.items():
                text = text.replace(open_, value)
        files.append(replace(file, text=text))
    return replace(plan, files=tuple(files))


def checked(folder: Path) -> dict[str, tuple[int, str]]:
    """Every stack file, run through its program and judged by the policies: exit code and last line, by stack."""
    found = {}
    for path in sorted(folder.glob("stacks/Pulumi.*.yaml")):
        stack = path.name.removeprefix("Pulumi.").removesuffix(".yaml")
        policy = folder / "stacks" / f"policy.{stack}.json"
        more = ["--policy-config", str(policy)] if policy.exists() else []
        result = CliRunner().invoke(check, [str(path), *more])
        found[stack] = (result.exit_code, result.output)
    return found


RESOURCES = {
    "aks-prod-eus2-egress": 5,
    "aks-prod-eus2-overlay": 5,
    "aks-prod-eus2-retire": 3,
    "aks-prod-eus2-traffic": 4,
}
"""What the program of each stack of the way beside it registers."""


@pytest.mark.parametrize(
    ("name", "stacks"), [("aks-kubenet-exhausted", set(RESOURCES)), ("aks-snat", {"aks-prod-eus2-egress"})]
)
def test_the_policies_find_nothing_wrong_with_the_files(name: str, stacks: set[str], tmp_path: Path) -> None:
    found = checked(written(filled(planned(facts_of(name))), tmp_path))
    assert found.keys() == stacks
    for stack, (code, output) in found.items():
        assert (code, output.splitlines()[-1].split(":")[0]) == (0, "clean"), f"{stack}: {output}"
        assert "(program)" in output, "judged by what the program registers, not by its text"
        if name == "aks-kubenet-exhausted":
            assert f"; {RESOURCES[stack]} resources" in output


FILLED = {
    "fill-in-resource-group": "rg-edge",
    "fill-in-profile": "fd-checkout",
    "fill-in-origin-group": "checkout",
    "fill-in-old-origin": "aks-kubenet",
    "fill-in.old.example.com": "old.shop.example",
    "fill-in.new.example.com": "new.shop.example",
    "fill-in-host-header": "shop.example",
    "00000000-0000-0000-0000-000000000000": "11111111-2222-3333-4444-555555555555",
    "fill-in: an address that the stack aks-prod-eus2-egress has made": "20.97.1.2/32",
}
"""What only a person can know of the published story, and what one fills in."""


def with_authorized_ranges(facts: Snapshot, **more: Any) -> Snapshot:
    managed = made.azure_of(facts).cluster
    assert isinstance(managed, ManagedCluster)
    return made.with_azure(
        facts, cluster=replace(managed, authorized_ranges=("198.51.100.0/24", "203.0.113.9"), **more)
    )


def test_every_stack_file_passes_once_what_only_a_person_knows_is_filled_in(tmp_path: Path) -> None:
    plan = planned(with_authorized_ranges(facts_of("aks-kubenet-exhausted")))
    folder = written(plan, tmp_path)
    before = checked(folder)
    assert {stack for stack, (code, _) in before.items() if code} == {"aks-prod-eus2-overlay", "aks-prod-eus2-traffic"}
    assert "egressAddresses[1]: fill-in: an address that the stack" in before["aks-prod-eus2-overlay"][1]
    texts = {path: path.read_text(encoding="utf-8") for path in sorted(folder.glob("stacks/*"))}
    told = " ".join((*(step.what for step in plan.steps), *plan.decisions))
    for place in (
        "authorizedRanges of stacks/",
        "egressAddresses of stacks/",
        "Front Door's profile",
        "workspace",
        "host names",
    ):
        assert place in told, f"{place} is left to a person, and is said"
    for path, text in texts.items():
        for open_, value in FILLED.items():
            text = text.replace(open_, value)  # noqa: PLW2901 - the text as it is filled in
        if path.name == "Pulumi.aks-prod-eus2-overlay.yaml":
            old = '      - "20.62.10.20/32"\n'
            assert old in text
            text = text.replace(old, f'{old}      - "20.97.1.2/32"\n')  # noqa: PLW2901 - the same
        assert "fill-in" not in "".join(line for line in text.splitlines() if not line.lstrip().startswith("#")), path
        path.write_text(text, encoding="utf-8")
    for stack, (code, output) in checked(folder).items():
        assert (code, output.splitlines()[-1].split(":")[0]) == (0, "clean"), f"{stack}: {output}"
        assert f"; {RESOURCES[stack]} resources" in output


def policy_of(plan: Plan) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(next(file.text for file in plan.files if file.path.startswith("stacks/policy.")))
    return found


def test_the_policies_are_told_both_addresses_or_which_of_them_nobody_knows() -> None:
    facts = facts_of("aks-kubenet-exhausted")
    assert "authorized-ranges-include-egress" not in policy_of(planned(facts)), "everybody may reach its API server"
    listed = with_authorized_ranges(facts)
    both = policy_of(planned(listed))["authorized-ranges-include-egress"]["egressAddresses"]
    assert both == ["20.62.10.20/32", "fill-in: an address that the stack aks-prod-eus2-egress has made"]
    unread = policy_of(planned(made.with_azure(listed, public_addresses=DENIED)))["authorized-ranges-include-egress"]
    assert unread["egressAddresses"] == [
        "fill-in: the address that aks-prod-eus2 is seen with",
        "fill-in: the address a1b2c3",
        "fill-in: an address that the stack aks-prod-eus2-egress has made",
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "beside it everywhere"),
        ({"public_addresses": DENIED}, "beside it everywhere (not read: a1b2c3: add --old)"),
        ({"cluster": "without a load balancer"}, "beside it everywhere (the old one was not read: add --old)"),
    ],
)
def test_an_old_address_that_was_not_read_is_asked_for_in_the_audit(changes: dict[str, Any], said: str) -> None:
    facts = facts_of("aks-kubenet-exhausted")
    if "cluster" in changes:
        managed = made.azure_of(facts).cluster
        assert isinstance(managed, ManagedCluster)
        changes = {"cluster": replace(managed, network=replace(made.KUBENET, load_balancer=DENIED))}
    steps = planned(made.with_azure(facts, **changes)).steps
    [audit] = [step for step in steps if step.command.startswith("headroom audit-egress")]
    assert audit.what.endswith(said)
    assert ("--old 20.62.10.20" in audit.command) == (not changes)


def test_a_gateway_that_both_clusters_share_has_addresses_that_are_known_and_none_is_asked_for() -> None:
    gateway, address, prefix = (
        f"{made.GROUP}/Microsoft.Network/{kind}"
        for kind in ("natGateways/nat-shared", "publicIPAddresses/pip-shared", "publicIPPrefixes/prefix-shared")
    )
    network = replace(made.KUBENET, outbound_type="userAssignedNATGateway", load_balancer=None)
    facts = with_subnet(
        with_authorized_ranges(made.kubenet_exhausted(), network=network),
        nat_gateway_id=gateway,
    )
    shared = NatGateway(gateway_id=gateway, name="nat-shared", public_ip_ids=(address,), public_prefix_ids=(prefix,))
    plan = planned(
        made.with_azure(
            facts,
            nat_gateways=(shared,),
            public_addresses=(PublicAddress(address_id=address, name="pip-shared", address="20.97.1.2"),),
            public_prefixes=(PublicPrefix(prefix_id=prefix, name="prefix-shared", prefix="20.97.1.16/30"),),
        )
    )
    addresses = policy_of(plan)["authorized-ranges-include-egress"]["egressAddresses"]
    assert addresses == ["20.97.1.16/30", "20.97.1.2/32"]
    unread = policy_of(planned(made.with_azure(facts, nat_gateways=(shared,), public_addresses=DENIED)))
    assert unread["authorized-ranges-include-egress"]["egressAddresses"] == [
        "fill-in: the address that aks-prod-eus2 is seen with",
        "fill-in: the address pip-shared",
        "fill-in: the address prefix-shared",
        "fill-in: an address of the NAT gateway nat-shared",
    ]
    prefixes = (PublicPrefix(prefix_id=prefix, name="prefix-shared", prefix="20.97.1.16/30"),)
    in_part = made.with_azure(facts, nat_gateways=(shared,), public_addresses=DENIED, public_prefixes=prefixes)
    assert policy_of(planned(in_part))["authorized-ranges-include-egress"]["egressAddresses"] == [
        "20.97.1.16/30",
        "fill-in: the address pip-shared",
    ]
    ranges = read_overlay(config_of(plan, "aks-prod-eus2-overlay")).authorized_ranges
    assert ranges == ("198.51.100.0/24", "203.0.113.9/32", "20.97.1.16/30", "20.97.1.2/32")


def test_the_steps_prove_each_before_the_next() -> None:
    plan = planned(facts_of("aks-kubenet-exhausted"))
    order = [
        "az aks nodepool scale",
        "kubectl cordon",
        "az aks nodepool delete-machines",
        "--plan stacks/plan.aks-prod-eus2-overlay.json",
        "pulumi stack select --create aks-prod-eus2-egress",
        "headroom audit-egress --old 20.62.10.20",
        "headroom:attach true",
        "pulumi stack select --create aks-prod-eus2-overlay",
        "--plan stacks/verify.aks-prod-eus2-overlay.json",
        "--stop aks-prod-eus2-overlay",
        "--expect old",
        "headroom probes --context aks-prod-eus2-overlay --run",
        "pulumi stack select --create aks-prod-eus2-traffic",
        "headroom:step 10 ",
        "headroom:step 25 ",
        "headroom:step 50 ",
        "--stop aks-prod-eus2 |",
        "--expect neither",
        "--start aks-prod-eus2-overlay",
        "--expect new",
        "headroom:step 100 ",
        "pulumi stack select --create aks-prod-eus2-retire",
        "headroom:phase zero",
        "headroom:phase detach",
        "headroom:phase delete",
    ]
    text = commands(plan)
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    assert text.count("headroom gate stacks/Pulumi.aks-prod-eus2-traffic.yaml") == 4


def test_pods_of_user_pools_end_in_their_own_time_before_the_pools_go_to_zero() -> None:
    facts = facts_of("aks-kubenet-exhausted")
    assert " drain --selector" not in commands(planned(facts)), "system pools end with the cluster"
    [pool] = items(made.azure_of(facts).pools)
    user = (replace(pool, name="batch", mode="User"), replace(pool, name="apps", mode="User"))
    text = commands(planned(made.with_azure(facts, pools=(pool, *user))))
    drain = text.index(
        "kubectl --context aks-prod-eus2 drain --selector 'kubernetes.azure.com/agentpool in (apps,batch)' "
        "--ignore-daemonsets --delete-emptydir-data"
    )
    assert text.index("create aks-prod-eus2-retire") < drain < text.index("headroom:phase zero")


def test_the_window_has_a_price_once_a_node_has_one() -> None:
    facts = facts_of("aks-kubenet-exhausted")
    assert "$36 by list prices, without its nodes" in reason(planned(facts), "overlay-blue-green")
    assert "$684 by list prices, 9 nodes included" in reason(planned(facts, price=0.3), "overlay-blue-green")


def one_side_of(plan: Plan) -> list[str]:
    return next(file.text for file in plan.files if "one-side" in file.path).splitlines()


def test_cron_jobs_are_listed_and_suspended_on_one_side_and_unread_ones_are_said() -> None:
    facts = facts_of("aks-kubenet-exhausted")
    jobs = (
        CronJob(namespace="billing", name="close", schedule="0 2 * * *", concurrency_policy="Forbid"),
        CronJob(namespace="prod", name="old", schedule="@daily", suspended=True),
    )
    lines = one_side_of(planned(made.with_kubernetes(facts, cron_jobs=jobs)))
    assert "billing cronjob/close - 0 2 * * * Forbid" in lines
    assert "# prod cronjob/old - @daily Allow, suspended" in lines
    unread = planned(made.with_kubernetes(facts, cron_jobs=DENIED, leases=DENIED))
    for what in ("CronJobs were not read (denied", "leader-elected consumers, were not read (denied"):
        assert any(what in line for line in one_side_of(unread)), what
        assert any(what in step.what for step in unread.steps), what


def test_a_leader_elected_consumer_is_asked_for_with_its_workload_and_what_keda_starts_too() -> None:
    facts = facts_of("aks-kubenet-exhausted")
    pod = Pod(namespace="billing", name="queue-7f9c4bcd5-x2k9p", phase="Running", owner="Deployment/queue")
    lease = Lease(
        namespace="billing",
        name="queue-leader",
        holder=f"{pod.name}_0f6f2a1e-0000-4000-8000-000000000000",
        duration_seconds=15,
        renewed_at=known(facts.collected_at),
    )
    scaler = KedaScaler(
        kind="ScaledObject", namespace="billing", name="mail", target="Deployment/mail", triggers=("azure-servicebus",)
    )
    workload = Workload(kind="Deployment", namespace="billing", name="queue", desired=3, ready=3)
    plan = planned(
        made.with_kubernetes(
            facts,
            cron_jobs=(),
            leases=(lease,),
            keda_scalers=(scaler,),
            pods=(*items(made.kubernetes_of(facts).pods), pod),
            workloads=(workload,),
        )
    )
    lines = one_side_of(plan)
    assert "? billing deployment/queue 3 Lease queue-leader: held by queue-7f9c4bcd5-x2k9p" in lines
    assert "? billing scaledobject.keda.sh/mail - starts pods for Deployment/mail by azure-servicebus" in lines
    assert any("1 scaler of KEDA and 1 leader in aks-prod-eus2." in step.what for step in plan.steps)
    assert "queue-leader" in json.dumps(plan_to_json(plan))


# In place or beside it: the rules, at plan level.


def test_an_eligible_cluster_goes_in_place_in_the_order_that_works() -> None:
    plan = planned(kubenet())
    assert kept(plan) == ["add-nodes", "drain-nodes", "overlay-in-place"]
    assert plan.files == ()
    text = commands(plan)
    where = f"--subscription {made.SUBSCRIPTION} --resource-group rg-prod-eus2 --name aks-prod-eus2"
    update = f"az aks update {where} --network-plugin azure --network-plugin-mode overlay"
    assert f"{update}\n" in text
    ignored = next(step.what for step in plan.steps if "ignore_changes" in step.what)
    assert '"networkProfile.networkPluginMode"' in ignored
    assert [part for part in ("pulumi up", update, "pulumi refresh", "headroom verify") if part in text] == sorted(
        ("pulumi up", update, "pulumi refresh", "headroom verify"), key=text.index
    )
    assert any("reimaged at the same time" in decision for decision in plan.decisions)


def test_a_policy_engine_is_taken_out_and_put_back_and_the_gap_is_said() -> None:
    flat = with_pool(made.kubenet_exhausted(), max_surge="1")
    managed = made.azure_of(flat).cluster
    assert isinstance(managed, ManagedCluster)
    profile = replace(made.KUBENET, network_policy="azure")
    plan = planned(made.with_azure(flat, cluster=replace(managed, identity_type="UserAssigned", network=profile)))
    text = commands(plan)
    assert text.index("--network-policy none") < text.index("--network-plugin-mode overlay")
    assert text.index("--network-plugin-mode overlay") < text.index("--network-policy azure")
    assert any("everything may talk to everything" in decision for decision in plan.decisions)
    assert any(step.touches.startswith("every network policy") for step in plan.steps)


def gateway_subnet() -> AzureSubnet:
    """A subnet that shares the nodes' route table."""
    return made.subnet(
        f"{made.VNET}/subnets/gateway", "10.20.99.0/24", used=3, usable=251, route_table_id=made.ROUTE_TABLE
    )


@pytest.mark.parametrize(
    ("facts", "way", "said"),
    [
        (kubenet(), "overlay-in-place", "Every rule allows it."),
        (kubenet({"identity_type": "SystemAssigned"}), "overlay-in-place", "identity is system-assigned"),
        (kubenet({"identity_type": None}), "overlay-in-place", "identity is a service principal"),
        (kubenet({"current_kubernetes_version": "1.26.9"}), "overlay-in-place", "Kubernetes 1.26 is older than 1.27"),
        (made.with_azure(kubenet(), ip_masq=IpMasqAgent(custom=True)), "overlay-in-place", "The stricter holds"),
        (with_subnet(kubenet(), gateway_subnet()), "overlay-in-place", "route table is that of gateway too"),
        (made.kubenet_exhausted(), "overlay-blue-green", "kubenet with Calico has not been updated in place"),
        (with_pool(kubenet(), pool_type="AvailabilitySet"), "overlay-blue-green", "availability set"),
        (with_pool(kubenet(), pod_subnet_id=made.POD_SUBNET), "overlay-blue-green", "pod subnet"),
        (kubenet({"identity_type": DENIED}), "overlay-blue-green", "Not read: The cluster's identity: denied"),
        (made.with_azure(kubenet(), ip_masq=DENIED), "overlay-blue-green", "Not read: The configuration of"),
    ],
)
def test_each_rule_of_the_way_in_place_decides_the_plan(facts: Snapshot, way: str, said: str) -> None:
    plan = planned(facts)
    assert [name for name in kept(plan) if name.startswith("overlay")] == [way]
    assert said in reason(plan, "overlay-in-place")


def test_machines_that_no_overlay_takes_close_the_way_in_place_and_others_are_asked_for_beside_it() -> None:
    plan = planned(with_pool(kubenet(), vm_size="Standard_DC8_v2"))
    assert [name for name in kept(plan) if name.startswith("overlay")] == ["overlay-blue-green"]
    assert "DCsv2" in reason(plan, "overlay-in-place")
    with pytest.raises(ProblemsError) as refused:
        read_overlay(config_of(plan, "aks-prod-eus2-overlay"))
    assert {(problem.key, problem.rule) for problem in refused.value.problems} == {
        ("headroom:pools.default.vmSize", "fill-in")
    }
    said = "Node pool default has Standard_DC8_v2, of a series that overlay does not support: write another."
    assert said in plan.decisions


def test_a_range_that_is_too_small_in_place_is_exchanged_for_a_free_one() -> None:
    small = kubenet(pod_cidr="10.244.0.0/20", pod_cidrs=("10.244.0.0/20",))
    plan = planned(with_pool(small, autoscaling=True, minimum=9, maximum=40))
    assert "overlay-in-place" in kept(plan)
    assert "--network-plugin-mode overlay --pod-cidr 100.64.0.0/16" in commands(plan)
    assert any("see that nobody whom pods need uses 100.64.0.0/16" in each for each in plan.decisions)


def test_the_way_can_be_chosen_and_one_that_is_not_open_is_not_taken() -> None:
    assert "overlay-blue-green" in kept(planned(kubenet(), "way=blue-green"))
    plan = planned(made.kubenet_exhausted(), "way=in-place")
    assert not {"overlay-in-place", "overlay-blue-green"} & set(kept(plan))
    assert any("Neither way is open" in decision for decision in plan.decisions)


def test_where_a_cluster_beside_it_cannot_be_the_open_way_in_place_is_not_denied() -> None:
    [decision, *_] = planned(kubenet({"private": True}), "way=blue-green").decisions
    assert "Neither way is open" not in decision
    assert "The API server is private" in decision
    assert decision.endswith("This cluster can be updated in place: leave --set way=blue-green out.")


def test_what_the_sources_disagree_about_can_be_overridden() -> None:
    facts = made.with_azure(kubenet(), ip_masq=IpMasqAgent(custom=True))
    assert any("release notes say" in decision for decision in planned(facts).decisions)
    allowed = planned(facts, "allow=custom-ip-masq")
    assert reason(allowed, "overlay-in-place").count("Every rule allows it") == 1


# What a new cluster stands on.


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (kubenet(outbound_type="userDefinedRouting"), "outbound type is userDefinedRouting"),
        (kubenet(outbound_type="none"), "outbound type is none"),
        (kubenet(outbound_type="block"), "outbound type is block"),
        (with_pool(kubenet(), node_subnet_id=None), "AKS manages the VNet"),
        (with_pool(kubenet(), os_type="Windows", node_image_version="AKSWindows-20348.2113.1"), "Windows (default)"),
        (with_pool(kubenet(), count=5000, maximum=None), "split it"),
        (kubenet(outbound_type=DENIED), "Not read: the outbound type"),
        (made.with_azure(kubenet(), vnets=DENIED), "Not read: the VNets"),
        (made.with_azure(kubenet(), route_tables=DENIED), "Not read: the route tables"),
        (made.with_azure(kubenet(), pools=DENIED), "Not read: the node pools"),
        (with_pool(kubenet(), vm_size=DENIED), "Not read: the VM size of node pool default"),
        (with_subnet(kubenet(), prefixes=DENIED), "Not read: the CIDR of vnet-spoke/snet-aks-nodes"),
        (with_subnet(kubenet(), security_group_id=DENIED), "Not read: the security groups"),
        (kubenet({"authorized_ranges": DENIED}), "Not read: who may reach the API server"),
        (kubenet({"private": True}), "The API server is private"),
        (kubenet({"private": DENIED}), "Not read: whether the API server is private"),
        (kubenet(ip_families=("IPv4", "IPv6")), "two IP families"),
    ],
)
def test_what_cannot_be_made_or_was_not_read_writes_no_stack_file(facts: Snapshot, said: str) -> None:
    plan = planned(facts, "way=blue-green")
    assert "overlay-blue-green" not in kept(plan)
    assert said in reason(plan, "overlay-blue-green")
    assert not [file.path for file in plan.files if "overlay" in file.path]


@pytest.mark.parametrize("name", ["aks-kubenet-exhausted", "aks-snat"])
def test_a_vnet_of_another_subscription_is_told_before_a_stack_refuses_it(name: str) -> None:
    text = (made.INCIDENTS_FOLDER / name / "facts.json").read_text(encoding="utf-8")
    other = "99999999-0000-4000-8000-999999999999"
    facts = load(text.replace(made.VNET, made.VNET.replace(made.SUBSCRIPTION, other)), subject=name)
    plan = planned(facts)
    told = reason(plan, "overlay-blue-green" if name == "aks-kubenet-exhausted" else "nat-gateway")
    assert f"The VNet is of subscription {other}" in told
    assert not plan.files


def test_ranges_avoid_peers_routes_and_other_clusters() -> None:
    facts = made.kubenet_exhausted()
    azure = made.azure_of(facts)
    [vnet] = items(azure.vnets)
    peer = VnetPeering(name="hub", state="Connected", remote_prefixes=("100.64.0.0/11",))
    plan = planned(made.with_azure(facts, vnets=(replace(vnet, peerings=(peer,)),)))
    overlay = read_overlay(config_of(plan, "aks-prod-eus2-overlay"))
    assert overlay.pod_cidr == "100.96.0.0/16"
    assert overlay.peers == ("100.64.0.0/11",)


def test_a_vnet_without_room_says_so() -> None:
    facts = made.kubenet_exhausted()
    [vnet] = items(made.azure_of(facts).vnets)
    plan = planned(made.with_azure(facts, vnets=(replace(vnet, prefixes=("10.20.4.0/22",)),)))
    assert "overlay-blue-green" not in kept(plan)
    assert "The VNet has no free block for a subnet of 10 nodes" in reason(plan, "overlay-blue-green")
    assert [name for name in kept(plan) if name in RELIEFS] == ["add-nodes", "drain-nodes"], "relief needs no subnet"


def denying() -> NetworkSecurityGroup:
    rule = SecurityRule(
        name="deny-all", priority=4000, direction="Inbound", access="Deny", sources=("*",), destinations=("*",)
    )
    return NetworkSecurityGroup(
        group_id=f"{made.GROUP}/Microsoft.Network/networkSecurityGroups/nsg-nodes", name="nsg-nodes", rules=(rule,)
    )


@pytest.mark.parametrize("facts", [made.kubenet_exhausted(), kubenet()], ids=["beside", "in place"])
def test_a_security_group_that_denies_gets_a_rule_for_each_flow(facts: Snapshot) -> None:
    group = denying()
    guarded = made.with_azure(with_subnet(facts, security_group_id=group.group_id), security_groups=(group,))
    found = [line for line in commands(planned(guarded)).splitlines() if line.startswith("az network nsg rule create")]
    assert len(found) == 3
    assert all("--nsg-name nsg-nodes" in line and "--access Allow --protocol '*'" in line for line in found)
    assert "--resource-group rg-prod-eus2" in found[0]


def test_authorized_ranges_are_carried_over_and_the_new_address_is_asked_for() -> None:
    facts = made.kubenet_exhausted()
    managed = made.azure_of(facts).cluster
    assert isinstance(managed, ManagedCluster)
    plan = planned(
        made.with_azure(facts, cluster=replace(managed, authorized_ranges=("198.51.100.0/24", "203.0.113.9")))
    )
    overlay = read_overlay(config_of(plan, "aks-prod-eus2-overlay"))
    assert overlay.authorized_ranges == ("198.51.100.0/24", "203.0.113.9/32", "20.62.10.20/32")
    assert any("the new address comes first" in decision for decision in plan.decisions)


def test_a_cluster_that_leaves_by_a_gateway_shares_it_and_needs_no_further_one() -> None:
    gateway = f"{made.GROUP}/Microsoft.Network/natGateways/nat-shared"
    facts = made.kubenet_exhausted()
    managed = made.azure_of(facts).cluster
    assert isinstance(managed, ManagedCluster)
    network = replace(made.KUBENET, outbound_type="userAssignedNATGateway")
    facts = with_subnet(made.with_azure(facts, cluster=replace(managed, network=network)), nat_gateway_id=gateway)
    plan = planned(facts)
    assert read_overlay(config_of(plan, "aks-prod-eus2-overlay")).subnet.nat_gateway_id == gateway
    assert not [file.path for file in plan.files if "egress" in file.path]
    assert "audit-egress" not in commands(plan)


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        (
            "nodeSubnet=10.20.4.0/24",
            "overlaps 10.20.4.0/22, a subnet that is there: Azure answers NetcfgSubnetRangesOverlap",
        ),
        (
            "podCidr=10.20.0.0/16",
            "overlaps 10.20.4.0/22, a subnet of the VNet: AKS answers NetworkProfileCIDROverlapVNET",
        ),
        ("podCidr=10.99.0.0/16", "overlaps 10.99.0.0/16 of a connected network"),
        ("podCidr=172.16.0.0/12", "contains 172.30.0.0/16 and 172.31.0.0/16"),
    ],
)
def test_a_range_that_somebody_chose_is_held_to_what_is_there(choice: str, said: str) -> None:
    facts = made.kubenet_exhausted()
    [vnet] = items(made.azure_of(facts).vnets)
    peering = VnetPeering(name="hub", remote_prefixes=("10.99.0.0/16",))
    plan = planned(made.with_azure(facts, vnets=(replace(vnet, peerings=(peering,)),)), "way=blue-green", choice)
    assert "overlay-blue-green" not in kept(plan)
    assert said in reason(plan, "overlay-blue-green").replace(", 172.31", " and 172.31")


def with_default_route(facts: Snapshot) -> Snapshot:
    """Everything that leaves the VNet goes to a firewall in the hub."""
    [table] = items(made.azure_of(facts).route_tables)
    route = AzureRoute(name="all", prefix="0.0.0.0/0", next_hop_type="VirtualAppliance", next_hop="10.99.0.4")
    return made.with_azure(facts, route_tables=(replace(table, routes=(*items(table.routes), route)),))


def test_a_default_route_wins_over_a_gateway_so_that_none_is_proposed() -> None:
    """Azure NAT Gateway documentation, nat-overview: routes come first, then the gateway, then the load balancer."""
    beside = planned(with_default_route(made.kubenet_exhausted()))
    assert "overlay-blue-green" not in kept(beside)
    assert "the default route aks-agentpool-rt/all, which wins" in reason(beside, "overlay-blue-green")
    table = items(made.azure_of(made.kubenet_exhausted()).route_tables)
    facts = with_subnet(made.with_azure(facts_of("aks-snat"), route_tables=table), route_table_id=made.ROUTE_TABLE)
    assert "nat-gateway" in kept(planned(facts)), "a table without such a route is none"
    ports_short = planned(with_default_route(facts))
    assert "nat-gateway" not in kept(ports_short)
    assert "wins over a NAT gateway" in reason(ports_short, "nat-gateway")


@pytest.mark.parametrize("tables", [(), DENIED, (replace(made.route_table(3), routes=DENIED),)])
def test_routes_that_were_not_read_may_win_over_a_gateway(tables: Any) -> None:
    facts = made.with_azure(facts_of("aks-snat"), route_tables=tables)
    plan = planned(with_subnet(facts, route_table_id=made.ROUTE_TABLE))
    assert "nat-gateway" not in kept(plan)
    assert "Not read: the routes of " in reason(plan, "nat-gateway")
    beside = planned(made.with_azure(made.kubenet_exhausted(), route_tables=tables))
    assert "overlay-blue-green" not in kept(beside)
    assert "Not read: the routes of " in reason(beside, "overlay-blue-green")


def test_names_that_a_node_label_cannot_hold_are_told_before_anything_is_made() -> None:
    facts = made.kubenet_exhausted()
    [vnet] = items(made.azure_of(facts).vnets)
    plan = planned(made.with_azure(facts, vnets=(replace(vnet, name="v" * 64),)))
    assert "overlay-blue-green" not in kept(plan)
    assert "has more than 63 characters" in reason(plan, "overlay-blue-green")


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("eastus2", "StandardV2 stands in all zones. It needs addresses of the sku StandardV2"),
        ("Canada East", "the region has no StandardV2"),
    ],
)
def test_the_region_and_the_zones_decide_the_gateway_and_what_the_stack_makes_is_said(location: str, said: str) -> None:
    facts = facts_of("aks-kubenet-exhausted")
    managed = made.azure_of(facts).cluster
    assert isinstance(managed, ManagedCluster)
    plan = planned(made.with_azure(facts, cluster=replace(managed, location=location)))
    text = next(file.text for file in plan.files if file.path.endswith("egress.yaml"))
    told = " ".join(line.strip("# ") for line in text.splitlines())
    assert said in told
    assert ("The stack makes Standard in one zone" in told) == (location == "eastus2")
    assert any(said in decision for decision in plan.decisions)


def test_a_pool_that_scales_by_itself_is_not_scaled_back_by_hand() -> None:
    def undo(facts: Snapshot) -> str:
        return next(step.undo for step in planned(facts).steps if "delete-machines" in step.command)

    facts = facts_of("aks-kubenet-exhausted")
    assert undo(facts).endswith("--node-count 9")
    assert undo(with_pool(facts, autoscaling=True, minimum=3, maximum=20)) == ""
    assert undo(with_pool(facts, autoscaling=DENIED)) == ""


def test_a_machine_is_deleted_with_the_options_that_the_cli_has() -> None:
    """AKS documentation, upgrade-options: --cluster-name, --machine-names, --name, --resource-group."""
    command = next(
        step.command for step in planned(facts_of("aks-kubenet-exhausted")).steps if "machines" in step.command
    )
    assert command == (
        f"az aks nodepool delete-machines --subscription {made.SUBSCRIPTION} --resource-group rg-prod-eus2 "
        "--cluster-name aks-prod-eus2 --name default --machine-names aks-default-12345678-vmss000000"
    )


def ports(used: int, addresses: int) -> Snapshot:
    """The cluster of the failed connections with so many ports in use, at each of so many addresses."""
    facts = facts_of("aks-snat")
    managed = made.azure_of(facts).cluster
    assert isinstance(managed, ManagedCluster)
    balancer = LoadBalancerProfile(effective_outbound_ip_ids=tuple(map(str, range(addresses))))
    reading = replace(made.egress(41_250), used_ports=used)
    network = replace(made.OVERLAY, load_balancer=balancer)
    return made.with_azure(facts, cluster=replace(managed, network=network), egress=(reading,))


def test_a_gateway_has_as_many_addresses_as_the_ports_in_use_need() -> None:
    egress = read_egress(config_of(planned(ports(60_000, 3)), "aks-prod-eus2-egress"))
    assert egress.gateways["main"].addresses == 3
    shared = planned(ports(64_000, 30))
    assert read_egress(config_of(shared, "aks-prod-eus2-egress")).gateways["main"].addresses == 16
    assert any("1,920,000 connections are more than the 1,032,192 ports" in each for each in shared.decisions)
    refused = planned(ports(64_000, 40))
    assert "nat-gateway" not in kept(refused)
    assert "A NAT gateway has 2,000,000 connections at most" in reason(refused, "nat-gateway")


@pytest.mark.parametrize(("zones", "written"), [(("2",), ("2",)), (("3", "1"), ("1",)), ((), ())])
def test_a_gateway_stands_in_the_pools_zone_and_never_where_azure_likes(
    zones: tuple[str, ...], written: tuple[str, ...]
) -> None:
    plan = planned(with_pool(facts_of("aks-snat"), zones=zones))
    assert read_egress(config_of(plan, "aks-prod-eus2-egress")).gateways["main"].zones == written
    told = any("lose their way out" in decision for decision in plan.decisions)
    assert told == (len(zones) > 1), "one zone for several is said"


def test_a_quota_that_does_not_hold_both_clusters_is_said() -> None:
    facts = made.kubenet_exhausted()
    quotas = tuple(replace(each, limit=60) for each in items(made.azure_of(facts).quotas))
    plan = planned(made.with_azure(facts, quotas=quotas))
    assert any("quota cores has room for 6 of 9 nodes" in decision for decision in plan.decisions)


# Pools and ranges.


def test_a_new_subnet_of_kubenet_keeps_the_clusters_route_table() -> None:
    facts = made.cluster(
        nodes=26,
        pods_a_node=20,
        most=30,
        node_subnet=made.subnet(made.NODE_SUBNET, "10.20.4.0/27", used=27, usable=27, route_table_id=made.ROUTE_TABLE),
        provisioning_state="Failed",
        issue=f"SubnetIsFull: {made.SUBNET_FULL}",
    )
    pods = [made.waiting(serial, on=None) for serial in range(3)]
    stuck = made.with_pods(
        facts, pods, [made.event(pod, "FailedScheduling", "0/26 nodes: Insufficient cpu.") for pod in pods]
    )
    plan = planned(made.with_azure(stuck, errors=(made.refusal("SubnetIsFull", made.SUBNET_FULL, made.NODE_SUBNET),)))
    assert kept(plan) == ["larger-node-subnet"]
    assert f"--route-table {made.ROUTE_TABLE}" in commands(plan)


def test_a_pool_of_spot_vms_is_not_replaced_by_one_of_regular_vms_and_labels_are_asked_for() -> None:
    facts = facts_of("aks-max-pods")
    assert any("Labels of default are not carried over" in each for each in planned(facts).decisions)
    plan = planned(with_pool(facts, priority="Spot"))
    assert "raise-max-pods" not in kept(plan)
    assert "has Spot VMs" in reason(plan, "raise-max-pods")


def test_a_pool_that_the_quota_does_not_allow_is_refused_with_the_figures() -> None:
    facts = facts_of("aks-max-pods")
    quotas = tuple(replace(each, limit=60) for each in items(made.azure_of(facts).quotas))
    plan = planned(made.with_azure(facts, quotas=quotas))
    assert kept(plan) == ["add-nodes"]
    assert "9 nodes more are not to be had" in reason(plan, "raise-max-pods")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"os_type": "Windows"}, "has Windows, with which it cannot grow"),
        ({"os_type": DENIED}, "The operating system of node pool default was not read"),
    ],
)
def test_a_pod_range_grows_on_linux_alone(changes: dict[str, Any], said: str) -> None:
    plan = planned(with_pool(facts_of("aks-pod-cidr-exhausted"), **changes))
    assert "grow-pod-cidr" not in kept(plan)
    assert said in reason(plan, "grow-pod-cidr")


@pytest.mark.parametrize(
    ("network", "said"),
    [
        ({"ip_families": ("IPv4", "IPv6")}, "has two IP families, with which it cannot grow"),
        ({"pod_cidrs": ("10.244.0.0/20", "10.245.0.0/20")}, "has several pod ranges"),
    ],
)
def test_a_pod_range_grows_alone_and_without_ipv6(network: dict[str, Any], said: str) -> None:
    """AKS documentation, azure-cni-overlay-pod-expand."""
    facts = facts_of("aks-pod-cidr-exhausted")
    managed = made.azure_of(facts).cluster
    assert isinstance(managed, ManagedCluster)
    assert isinstance(managed.network, NetworkProfile)
    changed = replace(managed, network=replace(managed.network, **network))
    plan = planned(made.with_azure(facts, cluster=changed))
    assert "grow-pod-cidr" not in kept(plan)
    assert said in reason(plan, "grow-pod-cidr")


@pytest.mark.parametrize(
    ("wanted", "pod_cidr"), [(5120, "10.244.0.0/19"), (8192, "10.244.0.0/19"), (8448, "10.244.0.0/18")]
)
def test_a_pod_range_grows_to_what_azure_refused_and_not_to_what_the_pools_say_now(wanted: int, pod_cidr: str) -> None:
    facts = facts_of("aks-pod-cidr-exhausted")
    [error] = items(made.azure_of(facts).errors)
    text = error.message.replace("Pre-allocated IPs 5120 ", f"Pre-allocated IPs {wanted} ")
    plan = planned(made.with_azure(facts, errors=(replace(error, message=text),)))
    assert f"--pod-cidr {pod_cidr}" in commands(plan)
    nodes = read_aks_situation(made.with_azure(facts, errors=(replace(error, message=text),))).aks.nodes_refused
    assert nodes == wanted // 256, "every node has a /24"
    other = error.message.replace("10.244.0.0/20", "10.9.0.0/20").replace("5120", "99999")
    foreign = read_aks_situation(made.with_azure(facts, errors=(replace(error, message=other),)))
    assert foreign.aks.nodes_refused == 0 or foreign.pools[0].provisioning_state == "Failed"


def test_a_pod_range_grows_to_a_superset_that_nothing_is_in_the_way_of() -> None:
    facts = facts_of("aks-pod-cidr-exhausted")
    assert "--pod-cidr 10.244.0.0/19" in commands(planned(facts))
    [vnet] = items(made.azure_of(facts).vnets)
    peer = VnetPeering(name="hub", state="Connected", remote_prefixes=("10.244.16.0/20",))
    plan = planned(made.with_azure(facts, vnets=(replace(vnet, peerings=(peer,)),)))
    assert "grow-pod-cidr" not in kept(plan)
    assert "overlay-blue-green" in kept(plan), "a range that cannot grow is built anew"


# Outbound types, at plan level.


@pytest.mark.parametrize(
    ("kind", "own", "outbound", "said"),
    [
        ("loadBalancer", True, "userAssignedNATGateway", "The NAT gateway must be on the nodes' subnet before"),
        ("loadBalancer", False, "managedNATGateway", "One way"),
        ("userAssignedNATGateway", True, "", "by a NAT gateway already"),
        ("managedNATGateway", False, "", "by a NAT gateway already"),
        ("userDefinedRouting", True, "", "what it leaves by does the source NAT"),
        ("none", True, "", "what it leaves by does the source NAT"),
        ("block", False, "", "what it leaves by does the source NAT"),
        (DENIED, True, "", "was not read"),
    ],
)
def test_an_outbound_type_moves_only_where_azure_moves_it(kind: Any, own: Any, outbound: str, said: str) -> None:
    facts = facts_of("aks-snat")
    managed = made.azure_of(facts).cluster
    assert isinstance(managed, ManagedCluster)
    facts = made.with_azure(facts, cluster=replace(managed, network=replace(made.KUBENET, outbound_type=kind)))
    if not own:
        facts = with_pool(facts, node_subnet_id=None)
    plan = planned(facts)
    assert ("nat-gateway" in kept(plan)) == bool(outbound)
    assert said in reason(plan, "nat-gateway")
    assert (f"--outbound-type {outbound}" in commands(plan)) == bool(outbound)
    assert any("aks-egress" in file.text for file in plan.files) == (outbound == "userAssignedNATGateway")


def test_no_outbound_type_is_set_beside_a_basic_load_balancer_or_an_availability_set() -> None:
    """AKS documentation, egress-outboundtype."""
    facts = facts_of("aks-snat")
    managed = made.azure_of(facts).cluster
    assert isinstance(managed, ManagedCluster)
    basic = made.with_azure(facts, cluster=replace(managed, network=replace(made.KUBENET, load_balancer_sku="basic")))
    for case, said in ((basic, "of the SKU basic"), (with_pool(facts, pool_type="AvailabilitySet"), "default has VMs")):
        plan = planned(case)
        assert "nat-gateway" not in kept(plan)
        assert said in reason(plan, "nat-gateway")
        assert "--outbound-type" not in commands(plan)


def test_the_subnet_of_an_attached_gateway_is_taken_over_and_the_audit_comes_first() -> None:
    plan = planned(facts_of("aks-snat"))
    egress = read_egress(config_of(plan, "aks-prod-eus2-egress"))
    assert egress.gateways["main"].subnets["nodes"].id == made.NODE_SUBNET
    text = commands(plan)
    order = ["headroom audit-egress", "headroom:attach true", "--outbound-type"]
    assert [text.index(part) for part in order] == sorted(text.index(part) for part in order)
    assert "--old 20.62.10.20 --region eastus2 --new " in text, "rules of storage do nothing in their own region"


def test_the_way_back_from_a_gateway_is_the_outbound_type_first_and_then_the_subnet() -> None:
    plan = planned(facts_of("aks-snat"))
    commands_back = [step.command for step in plan.rollback]
    assert commands_back[1].endswith("--name aks-prod-eus2 --outbound-type loadBalancer")
    assert commands_back[2].endswith("/subnets/snet-aks-nodes --remove natGateway")
    assert "it is another one" in plan.rollback[3].what
    managed = planned(with_pool(facts_of("aks-snat"), node_subnet_id=None))
    assert "There may be no way back from managedNATGateway" in managed.rollback[-1].what


def test_a_gateway_that_is_there_is_not_replaced() -> None:
    taken = with_subnet(facts_of("aks-snat"), nat_gateway_id=f"{made.GROUP}/Microsoft.Network/natGateways/other")
    assert "has a NAT gateway already" in reason(planned(taken), "nat-gateway")


# Ahead of time, names, choices.


def test_a_healthy_kubenet_cluster_is_planned_ahead_and_else_has_nothing_to_plan() -> None:
    facts = made.cluster()
    assert kept(planned(facts, ahead=True)) == ["overlay-blue-green"]
    with pytest.raises(ProblemsError, match="names no cause"):
        planned(facts)


def test_a_plan_made_ahead_does_not_end_with_a_look_at_the_cluster_that_it_deletes() -> None:
    plan = planned(facts_of("aks-healthy"), ahead=True)
    assert plan.steps[-1].what.startswith("Delete the old cluster")
    looks = [step.command for step in plan.steps if step.command.startswith("headroom verify")]
    assert all("--cluster aks-prod-eus2-overlay " in command for command in looks)
    assert len(looks) == 1


def test_a_cluster_that_nothing_bounds_is_not_planned_ahead_unless_a_way_is_chosen() -> None:
    flat = made.cluster(
        network=made.SUBNETS, pods_in=lambda index, serial: f"10.20.5.{index * 25 + serial}", pods_a_node=20
    )
    diagnosis = replace(diagnose(made.cluster()), cluster="aks-prod-eus2")
    with pytest.raises(ProblemsError, match="neither on kubenet nor bound"):
        make_plan(flat, diagnosis, ahead=True)
    chosen = make_plan(flat, diagnosis, ahead=True, choices=Choices(way="in-place"))
    assert "overlay-in-place" in kept(chosen)


def test_a_cause_without_an_option_is_told_in_words() -> None:
    plan = make_plan(made.kubenet_exhausted(), found(RootCause.IPAMD_FAILURE))
    assert plan.steps[0].what.startswith("Get azure-cns (in kube-system) running again")


def test_a_hostile_name_is_quoted_or_refused() -> None:
    hostile = with_pool(facts_of("aks-max-pods"), name="x; reboot")
    text = commands(planned(hostile))
    assert "; reboot" not in text.replace("'x; reboot'", "").replace("'x; reboot2'", "")
    plan = planned(with_pool(made.kubenet_exhausted(), name="x; reboot"))
    assert "is no name of a pool" in reason(plan, "overlay-blue-green")


def test_names_that_azure_or_pulumi_refuse_are_refused() -> None:
    facts = made.kubenet_exhausted()
    diagnosis = diagnose(facts)
    with pytest.raises(ProblemsError, match="no name of a Pulumi stack"):
        make_plan(facts, diagnosis, stack="a b; rm")
    managed = made.azure_of(facts).cluster
    assert isinstance(managed, ManagedCluster)
    hostile = made.with_azure(facts, cluster=replace(managed, name="x$(reboot)"))
    with pytest.raises(ProblemsError, match="no name of an AKS cluster"):
        make_plan(hostile, diagnosis)


def test_choices_are_judged_all_at_once() -> None:
    assert read_choices(["podCidr=100.64.0.0/16", "allow=pod-cidr-in-vnet", "allow=custom-ip-masq"]) == Choices(
        pod_cidr=Block.parse("100.64.0.0/16"), allow=("custom-ip-masq", "pod-cidr-in-vnet")
    )
    with pytest.raises(ProblemsError) as error:
        read_choices(["way=sideways", "podCidr", "orign=x", "workspace=1", "allow=all", "origin=/a"], float("nan"))
    assert len(error.value.problems) == 7


# What was not read.


def test_a_changed_or_unread_fact_is_told_before_the_plan_is_applied() -> None:
    facts = made.kubenet_exhausted()
    plan = planned(facts)
    changed = recheck(plan, with_subnet(facts, nat_gateway_id=f"{made.GROUP}/natGateways/new")).changed
    assert [problem.value for problem in changed] == ["subnet vnet-spoke/snet-aks-nodes"]
    assert recheck(plan, made.with_azure(facts, vnets=DENIED)).unread
    assert recheck(plan, replace(facts, azure=DENIED, cloud=DENIED)).unread


@pytest.mark.parametrize("name", sorted(KEPT))
def test_no_unknown_fact_makes_a_plan_that_contradicts_it(name: str) -> None:
    """What is not read takes options away and adds none that lasts, unless another way needs nothing of it."""
    facts = facts_of(name)
    diagnosis = diagnose(facts)
    lasting = {each for each in KEPT[name] if each not in RELIEFS}
    wrong = []
    # Four hundred nodes take a while: of those cases every fourth, the others are seen on smaller clusters.
    every = 4 if name == "aks-route-limit" else 1
    for case in list(spoiled(facts, every_reason=False))[::every]:
        if not is_aks(case.snapshot):
            continue
        try:
            # With the diagnosis of the whole facts: what the plan itself reads decides here.
            plan = make_plan(case.snapshot, diagnosis)
        except ProblemsError:
            continue
        text = "".join(file.text for file in plan.files) + commands(plan)
        if "unknown" in text.lower().replace("unknown to", "") or "None" in text:
            wrong.append(f"{case}: an unknown value is written")
        if case.fault is Fault.DENIED and set(kept(plan)) - RELIEFS - lasting:
            wrong.append(f"{case}: {sorted(set(kept(plan)) - RELIEFS - lasting)}")
        if "overlay-in-place" in kept(plan):
            azure = read_aks_situation(case.snapshot).azure
            if in_place(azure, None).answer in (Answer.UNKNOWN, Answer.FORBIDS):
                wrong.append(f"{case}: in place against a rule")
    assert wrong == []


def test_what_was_not_read_is_neither_denied_nor_affirmed() -> None:
    facts = facts_of("aks-kubenet-exhausted")
    plan = planned(made.with_azure(facts, pools=DENIED))
    assert reason(plan, "add-nodes") == "Not read: the node pools: denied (AuthorizationFailed)."
    plan = planned(made.with_azure(facts, vnets=DENIED))
    assert plan.steps[0].what.startswith("Whether node pool default has room for 1 node is not known. 7 waiting pods")
    assert not any("not known" in step.what for step in plan.rollback), "there is nothing to undo"
    told = [reason(plan, name) for name in ("larger-node-subnet", "larger-pod-subnet", "grow-pod-cidr")]
    assert [each.partition(" found")[0] for each in told[:2]] == ["No node was", "No pod subnet was"]
    assert told[2] == "9 of 256 /24s of 10.244.0.0/16 are given to nodes."


def test_pools_that_were_not_read_leave_the_relief_that_was() -> None:
    facts = made.kubenet_exhausted()
    plan = planned(made.with_azure(facts, vnets=DENIED))
    assert "drain-nodes" in kept(plan)
    assert not plan.files
    assert any("Not read: the VNets" in decision for decision in plan.decisions)
