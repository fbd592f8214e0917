import gzip
import json
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from subprocess import run

import pytest

from headroom.addresses.problems import ProblemsError
from headroom.capacity.limits import InstanceLimits, instance_limits, instance_types, limits_of_description, max_pods


def test_every_type_of_the_table_is_read() -> None:
    assert len(instance_types()) == 1391
    for name in instance_types():
        limits = instance_limits(name)
        assert limits.instance_type == name
        assert limits.enis >= 1
        assert limits.ipv4_per_eni >= 2


@pytest.mark.parametrize(
    ("name", "enis", "ipv4_per_eni", "vcpus"),
    [("m5.large", 3, 10, 2), ("c5.xlarge", 4, 15, 4), ("m5.8xlarge", 8, 30, 32)],
)
def test_well_known_types_have_their_limits(name: str, enis: int, ipv4_per_eni: int, vcpus: int) -> None:
    limits = instance_limits(name)
    assert (limits.enis, limits.ipv4_per_eni, limits.vcpus) == (enis, ipv4_per_eni, vcpus)
    assert limits.supports_prefixes


def test_a_type_of_the_xen_generation_has_no_prefixes() -> None:
    assert not instance_limits("m4.large").supports_prefixes


def test_a_bare_metal_type_has_prefixes() -> None:
    assert InstanceLimits(enis=15, ipv4_per_eni=50, hypervisor="unknown", bare_metal=True).supports_prefixes


def test_an_unknown_type_is_refused_with_the_nearest_names() -> None:
    with pytest.raises(ProblemsError) as refusal:
        instance_limits("m5.8xlrage")
    (problem,) = refusal.value.problems
    assert problem.rule == "instance-type-known"
    assert "m5.8xlarge" in problem.message


def test_a_name_like_no_other_is_refused_without_a_guess() -> None:
    with pytest.raises(ProblemsError, match="is not in the table of instance limits"):
        instance_limits("")


@pytest.mark.parametrize(
    ("name", "prefixes", "custom", "value", "uncapped", "cap"),
    [
        ("m5.large", False, False, 29, 29, 110),
        ("m5.large", False, True, 20, 20, 110),
        ("m5.large", True, False, 110, 434, 110),
        ("m5.large", True, True, 110, 290, 110),
        ("m5.8xlarge", False, False, 234, 234, 250),
        ("m5.8xlarge", True, False, 250, 3714, 250),
        ("m5.4xlarge", False, False, 110, 234, 110),
        ("m4.large", True, False, 20, 20, 110),
    ],
)
def test_max_pods_follow_the_addresses_up_to_the_ceiling(  # noqa: PLR0913, PLR0917 - one row of the table
    name: str,
    prefixes: bool,  # noqa: FBT001
    custom: bool,  # noqa: FBT001
    value: int,
    uncapped: int,
    cap: int,
) -> None:
    most = max_pods(instance_limits(name), prefix_delegation=prefixes, custom_networking=custom)
    assert (most.value, most.uncapped, most.cap, most.cap_known) == (value, uncapped, cap, True)


def test_unknown_vcpus_get_the_lower_ceiling_and_say_so() -> None:
    most = max_pods(InstanceLimits(enis=15, ipv4_per_eni=50))
    assert (most.value, most.cap, most.cap_known) == (110, 110, False)


def test_the_table_is_read_only_when_it_is_asked_for() -> None:
    code = (
        "from headroom.capacity import limits\n"
        "assert limits._limits_by_type.cache_info().currsize == 0\n"
        "import sys\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('boto3', 'click', 'pulumi', 'rich', 'yaml')])"
    )
    done = run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout.strip() == "[]"


# Types of which EC2's catalogue, as moto 5.2.5 carries it, says something else than the VPC CNI's table: interfaces,
# or the hypervisor. EC2 lists two network cards for the first four, and of those the default one counts; the table of
# the CNI v1.23 still has all interfaces on one card, and ipamd goes by that table. It would ask for interfaces that
# EC2 refuses to attach, from the ninth or thirteenth on: count on EC2's figure, which a refresh of the table writes.
# Their advised maxPods is 250 by either figure. Of c7g.metal the catalogue names no hypervisor; bare metal has
# prefixes all the same.
DIFFERING = {
    "i7ie.48xlarge": ((15, 1, "nitro"), (8, 2, "nitro")),
    "i7ie.metal-48xl": ((15, 1, "unknown"), (8, 2, "unknown")),
    "i8ge.48xlarge": ((24, 1, "nitro"), (12, 2, "nitro")),
    "i8ge.metal-48xl": ((24, 1, "unknown"), (12, 2, "unknown")),
    "c7g.metal": ((15, 1, "nitro"), (15, 1, "unknown")),
}


def test_ec2s_catalogue_says_the_same_but_of_five_types() -> None:
    moto = find_spec("moto")
    if moto is None or moto.origin is None:
        pytest.skip("the catalogue comes with the extra `rehearsal`")
    catalogue = gzip.decompress((Path(moto.origin).parent / "ec2/resources/instance_types.json.gz").read_bytes())
    found = {name: limits_of_description(each) for name, each in json.loads(catalogue).items()}
    both = [(instance_limits(name), found[name]) for name in instance_types() if name in found]
    assert len(both) > 1_300
    differing = {
        ours.instance_type: tuple((each.enis, each.network_cards, each.hypervisor) for each in (ours, theirs))
        for ours, theirs in both
        if ours != theirs
    }
    assert differing == DIFFERING
    assert {ours.ipv4_per_eni - theirs.ipv4_per_eni for ours, theirs in both} == {0}


@pytest.mark.parametrize("name", DIFFERING)
def test_types_that_differ_are_advised_the_same_pods_by_either_figure(name: str) -> None:
    limits = instance_limits(name)
    fewer = replace(limits, enis=DIFFERING[name][1][0])
    assert max_pods(limits).value == max_pods(fewer).value == 250
    assert limits.supports_prefixes
