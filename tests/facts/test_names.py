from __future__ import annotations

import pytest

from headroom.facts.azure import part_of
from headroom.facts.names import is_cluster_name, is_stack_name


@pytest.mark.parametrize("name", ["a", "0", "prod-use1", "Prod_1", "a" * 100])
def test_a_cluster_is_named_as_eks_allows(name: str) -> None:
    assert is_cluster_name(name)


@pytest.mark.parametrize(
    "name", ["", "-a", "_a", "a.b", "a b", "a\n", "\na", "a\x1b[2J", "a\u202eb", "ä", "٣", "a" * 101, "a;b", "$(x)"]
)
def test_what_eks_would_refuse_is_no_name_of_a_cluster(name: str) -> None:
    assert not is_cluster_name(name)


@pytest.mark.parametrize("name", ["prod", "-", ".", "prod.use1_a-b", "a" * 100])
def test_a_stack_is_named_as_pulumi_allows(name: str) -> None:
    assert is_stack_name(name)


@pytest.mark.parametrize("name", ["", "a/b", "a b", "a\n", "a\u202eb", "ä", "a" * 101])
def test_what_pulumi_would_refuse_is_no_name_of_a_stack(name: str) -> None:
    assert not is_stack_name(name)


def test_a_part_of_an_arm_id_stands_behind_its_word_in_any_case() -> None:
    found = "/subscriptions/s/resourcegroups/RG-Prod/providers/Microsoft.Network/virtualNetworks/v/subnets/nodes"
    words = ("subscriptions", "resourceGroups", "virtualNetworks", "subnets", "routeTables", "nodes")
    assert [part_of(found, word) for word in words] == ["s", "RG-Prod", "v", "nodes", "", ""]
    assert part_of("", "subnets") == ""
