from __future__ import annotations
from typing import TYPE_CHECKING
import pulumi
from components.pod_subnets import PodSubnets, PodSubnetsArgs, PodSubnet

if TYPE_CHECKING:
    from tests.conftest import Recorder


def prog():
    PodSubnets(
        "pods",
        PodSubnetsArgs(
            vpc_ids={"10.0.0.0/16": "vpc-1"},
            subnets={"a": PodSubnet(zone="us-east-1a", cidr_block="10.0.0.0/24", route_table_id="rtb-1")},
            cluster="c",
            cni_version="1.19.2",
        ),
    )
    pulumi.export("x", 1)


def test_x(recorder: Recorder):
    r = recorder.run(prog)
    for x in r:
        print(x)
    print(recorder)
    assert recorder.stack_outputs == {"x": 1}
    assert 0
