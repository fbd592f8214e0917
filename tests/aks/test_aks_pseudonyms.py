"""An AKS snapshot under pseudonyms: nothing of the house is left, and the diagnosis stays what it was."""

from dataclasses import replace

import pytest

from headroom.diagnosis.classifier import diagnose
from headroom.facts.azure import AgentPool, Azure, ManagedCluster, same_resource
from headroom.facts.document import dump, load
from headroom.facts.pseudonyms import pseudonymised
from headroom.facts.snapshot import Snapshot
from headroom.facts.values import items
from tests.aks import conftest as made

KEY = b"a key for tests"
OURS = (
    made.SUBSCRIPTION,
    "rg-prod-eus2",
    "vnet-spoke",
    "snet-aks-nodes",
    "aks-prod-eus2",
    "aks-agentpool-rt",
    "a1b2c3",
    "checkout",
    "20.62.10.20",
    "10.20.4.",
    "12345678-vmss",
)


def azure_of(snapshot: Snapshot) -> Azure:
    assert isinstance(snapshot.azure, Azure)
    return snapshot.azure


@pytest.mark.parametrize("name", sorted(made.INCIDENTS))
def test_nothing_of_the_house_is_left_and_the_verdict_stays(name: str) -> None:
    original = made.INCIDENTS[name][0]()
    renamed = pseudonymised(original, KEY)
    text = dump(renamed)
    assert [word for word in OURS if word in text] == []
    assert load(text) == renamed
    before, after = diagnose(original), diagnose(renamed)
    assert (after.verdict, [cause.name for cause in after.causes]) == (
        before.verdict,
        [cause.name for cause in before.causes],
    )
    assert [each.cause for each in after.ruled_out] == [each.cause for each in before.ruled_out]


def test_an_arm_id_keeps_its_types_and_its_names_are_those_of_the_fields() -> None:
    renamed = azure_of(pseudonymised(made.healthy(), KEY))
    cluster = renamed.cluster
    assert isinstance(cluster, ManagedCluster)
    parts = cluster.cluster_id.split("/")
    assert parts[1] == "subscriptions"
    assert parts[2] == renamed.subscription_id
    assert parts[3:5] == ["resourceGroups", renamed.resource_group]
    assert parts[5:8] == ["providers", "Microsoft.ContainerService", "managedClusters"]
    assert parts[8] == cluster.name
    [vnet] = items(renamed.vnets)
    [subnet] = items(vnet.subnets)
    assert subnet.subnet_id == f"{vnet.vnet_id}/subnets/{subnet.name}"
    [table] = items(renamed.route_tables)
    assert same_resource(table.route_table_id, str(subnet.route_table_id))


def test_ids_that_differ_in_case_only_stay_the_same_resource() -> None:
    facts = made.healthy()
    [pool] = items(made.azure_of(facts).pools)
    shouted = replace(pool, node_subnet_id=made.NODE_SUBNET.replace("vnet-spoke", "VNET-SPOKE").upper())
    renamed = azure_of(pseudonymised(made.with_azure(facts, pools=(shouted,)), KEY))
    [vnet] = items(renamed.vnets)
    [after] = items(renamed.pools)
    assert isinstance(after, AgentPool)
    assert same_resource(str(after.node_subnet_id), items(vnet.subnets)[0].subnet_id)
    assert diagnose(pseudonymised(made.with_azure(facts, pools=(shouted,)), KEY)).verdict.value == "healthy"
