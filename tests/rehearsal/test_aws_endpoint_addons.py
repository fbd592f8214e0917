"""EKS of the simulated AWS: clusters in a VPC, and add-ons with their schema, states and conflicts."""

import json
import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from headroom.rehearsal.aws.endpoint import Endpoint, start_endpoint

VERSION = "v1.19.2-eksbuild.1"
ROLE = "arn:aws:iam::123456789012:role/eks"
CLUSTERS = count()


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    with start_endpoint(tmp_path_factory.mktemp("aws"), addon_seconds=0.05) as endpoint:
        yield endpoint


def client(aws: Endpoint, service: str) -> Any:
    return boto3.client(
        service,  # type: ignore[call-overload]  # any service
        endpoint_url=aws.url,
        region_name="us-east-1",
        aws_access_key_id="rehearsal",
        aws_secret_access_key="rehearsal",  # noqa: S106  # no secret
    )


@pytest.fixture(scope="module")
def eks(aws: Endpoint) -> Any:
    return client(aws, "eks")


@pytest.fixture
def cluster(aws: Endpoint, eks: Any) -> str:
    ec2 = client(aws, "ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/22", AvailabilityZone="us-east-1a")["Subnet"]["SubnetId"]
    name = f"prod-{next(CLUSTERS)}"
    eks.create_cluster(name=name, roleArn=ROLE, resourcesVpcConfig={"subnetIds": [subnet]})
    return name


def settled(eks: Any, cluster: str) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while True:
        addon = dict(eks.describe_addon(clusterName=cluster, addonName="vpc-cni")["addon"])
        if not addon["status"].endswith("ING"):
            return addon
        assert time.monotonic() < deadline, addon["status"]
        time.sleep(0.02)


def create(eks: Any, cluster: str, **details: Any) -> dict[str, Any]:
    eks.create_addon(clusterName=cluster, addonName="vpc-cni", addonVersion=VERSION, **details)
    return settled(eks, cluster)


def update(eks: Any, cluster: str, **details: Any) -> dict[str, Any]:
    started = eks.update_addon(clusterName=cluster, addonName="vpc-cni", **details)["update"]
    settled(eks, cluster)
    return dict(eks.describe_update(name=cluster, addonName="vpc-cni", updateId=started["id"])["update"])


def env(**values: str) -> str:
    return json.dumps({"env": values})


def refused(call: Callable[[], Any]) -> tuple[str, str]:
    with pytest.raises(ClientError) as error:
        call()
    details = error.value.response["Error"]
    return str(details["Code"]), str(details["Message"])


def test_a_cluster_shows_the_vpc_of_its_subnets_and_its_security_group(aws: Endpoint, eks: Any, cluster: str) -> None:
    config = eks.describe_cluster(name=cluster)["cluster"]["resourcesVpcConfig"]

    found = client(aws, "ec2").describe_subnets(SubnetIds=config["subnetIds"])["Subnets"][0]
    assert config["vpcId"] == found["VpcId"]
    assert config["clusterSecurityGroupId"].startswith("sg-")


def test_a_cluster_in_an_unknown_subnet_is_refused(eks: Any) -> None:
    code, _ = refused(
        lambda: eks.create_cluster(name="none", roleArn=ROLE, resourcesVpcConfig={"subnetIds": ["subnet-1"]})
    )

    assert code == "InvalidParameterException"


def test_an_addon_is_created_over_time_and_fills_the_daemonset(aws: Endpoint, eks: Any, cluster: str) -> None:
    aws.change(addon_seconds=2)
    try:
        eks.create_addon(clusterName=cluster, addonName="vpc-cni", addonVersion=VERSION, tags={"team": "net"})
    finally:
        aws.change(addon_seconds=0.05)
    assert eks.describe_addon(clusterName=cluster, addonName="vpc-cni")["addon"]["status"] == "CREATING"

    addon = settled(eks, cluster)

    assert (addon["status"], addon["addonVersion"], addon["tags"]) == ("ACTIVE", VERSION, {"team": "net"})
    assert eks.list_addons(clusterName=cluster)["addons"] == ["vpc-cni"]
    live = aws.aws_node_environment(cluster)
    assert (live["WARM_ENI_TARGET"], live["ENABLE_SUBNET_DISCOVERY"]) == ("1", "true")


def test_unknown_addons_versions_and_clusters_are_refused(eks: Any, cluster: str) -> None:
    def create_with(**details: str) -> Callable[[], Any]:
        return lambda: eks.create_addon(**{"clusterName": cluster, "addonName": "vpc-cni", **details})

    assert refused(create_with(addonName="made-up"))[0] == "InvalidParameterException"
    assert refused(create_with(addonVersion="v9.9.9-eksbuild.1"))[0] == "InvalidParameterException"
    assert refused(create_with(clusterName="nowhere"))[0] == "ResourceNotFoundException"
    assert refused(create_with(resolveConflicts="PRESERVE"))[0] == "InvalidParameterException"
    assert refused(lambda: eks.describe_addon(clusterName=cluster, addonName="vpc-cni")) == (
        "ResourceNotFoundException",
        f"No addon: vpc-cni found in cluster: {cluster}",
    )
    create(eks, cluster)
    assert refused(create_with())[0] == "ResourceInUseException"


@pytest.mark.parametrize(
    ("configuration", "complaint"),
    [
        (env(ENABLE_IPv6="true"), "$.env.ENABLE_IPv6: is not defined in the schema"),
        ('{"nodeSelector": {}}', "$.nodeSelector: is not defined in the schema and the schema does not allow"),
        ('{"env": {"WARM_IP_TARGET": 5}}', "$.env.WARM_IP_TARGET: integer found, string expected"),
        ('{"eniConfig": {"create": true}}', "$.eniConfig.region: is missing but it is required"),
        ("[1]", "it is not an object"),
        ("{", "ConfigurationValue provided in request is not supported"),
    ],
)
def test_configuration_is_held_against_the_schema(eks: Any, cluster: str, configuration: str, complaint: str) -> None:
    code, message = refused(
        lambda: eks.create_addon(
            clusterName=cluster, addonName="vpc-cni", addonVersion=VERSION, configurationValues=configuration
        )
    )

    assert code == "InvalidParameterException"
    assert message.startswith("ConfigurationValue provided in request is not supported")
    assert complaint in message


def test_the_schema_is_that_of_the_version_asked_for(eks: Any) -> None:
    def variables(version: str) -> dict[str, Any]:
        answer = eks.describe_addon_configuration(addonName="vpc-cni", addonVersion=version)
        definitions = json.loads(answer["configurationSchema"])["definitions"]
        assert definitions["Env"]["additionalProperties"] is False
        return dict(definitions["Env"]["properties"])

    old, new = variables("v1.15.1-eksbuild.1"), variables(VERSION)

    assert "ENABLE_SUBNET_DISCOVERY" not in old
    assert new["ENABLE_SUBNET_DISCOVERY"] == {"type": "string", "format": "boolean"}
    assert all(item["type"] == "string" for item in new.values())


def test_versions_are_listed_newest_first(eks: Any) -> None:
    found = eks.describe_addon_versions(addonName="vpc-cni", kubernetesVersion="1.33")["addons"]

    versions = [item["addonVersion"] for item in found[0]["addonVersions"]]
    assert versions[0] == "v1.23.0-eksbuild.1"
    assert VERSION in versions
    assert (
        eks.describe_addon_versions(addonName="vpc-cni", kubernetesVersion="1.12")["addons"][0]["addonVersions"] == []
    )


def test_none_fails_on_what_somebody_else_changed_and_names_it(aws: Endpoint, eks: Any, cluster: str) -> None:
    create(eks, cluster)
    aws.set_aws_node_environment(cluster, {**aws.aws_node_environment(cluster), "ENABLE_PREFIX_DELEGATION": "true"})

    failed = update(eks, cluster, configurationValues=env(WARM_IP_TARGET="5"), resolveConflicts="NONE")

    assert failed["status"] == "Failed"
    assert failed["errors"][0]["errorCode"] == "ConfigurationConflict"
    assert (
        'DaemonSet.apps aws-node - .spec.template.spec.containers[name="aws-node"]'
        '.env[name="ENABLE_PREFIX_DELEGATION"].value' in failed["errors"][0]["errorMessage"]
    )
    assert settled(eks, cluster)["status"] == "UPDATE_FAILED"
    assert "WARM_IP_TARGET" not in aws.aws_node_environment(cluster), "nothing was applied"


def test_overwrite_drops_what_is_not_in_the_configuration(aws: Endpoint, eks: Any, cluster: str) -> None:
    create(eks, cluster)
    aws.set_aws_node_environment(
        cluster, {**aws.aws_node_environment(cluster), "ENABLE_PREFIX_DELEGATION": "true", "MINIMUM_IP_TARGET": "10"}
    )

    done = update(eks, cluster, configurationValues=env(WARM_IP_TARGET="5"), resolveConflicts="OVERWRITE")

    live = aws.aws_node_environment(cluster)
    assert done["status"] == "Successful"
    assert (live["WARM_IP_TARGET"], live["ENABLE_PREFIX_DELEGATION"]) == ("5", "false")
    assert "MINIMUM_IP_TARGET" not in live


def test_preserve_keeps_the_live_value_even_against_the_configuration(aws: Endpoint, eks: Any, cluster: str) -> None:
    create(eks, cluster)
    aws.set_aws_node_environment(
        cluster, {**aws.aws_node_environment(cluster), "ENABLE_PREFIX_DELEGATION": "false", "WARM_ENI_TARGET": "3"}
    )
    wanted = env(ENABLE_PREFIX_DELEGATION="true", WARM_ENI_TARGET="2")

    done = update(eks, cluster, configurationValues=wanted, resolveConflicts="PRESERVE")

    assert done["status"] == "Successful"
    assert settled(eks, cluster)["configurationValues"] == wanted, "what the API says …"
    live = aws.aws_node_environment(cluster)
    assert live["WARM_ENI_TARGET"] == "3", "… is not what the DaemonSet has"
    assert live["ENABLE_PREFIX_DELEGATION"] == "true", "nobody but EKS had set it"


def test_a_setting_that_is_dropped_from_the_configuration_goes_back_to_its_default(
    aws: Endpoint, eks: Any, cluster: str
) -> None:
    create(eks, cluster, configurationValues=env(WARM_ENI_TARGET="0", WARM_IP_TARGET="5"))

    update(eks, cluster, configurationValues="{}", resolveConflicts="NONE")

    live = aws.aws_node_environment(cluster)
    assert live["WARM_ENI_TARGET"] == "1"
    assert "WARM_IP_TARGET" not in live


def test_creation_over_a_self_managed_daemonset_needs_overwrite(aws: Endpoint, eks: Any, cluster: str) -> None:
    aws.set_aws_node_environment(cluster, {"WARM_ENI_TARGET": "4"})

    failed = create(eks, cluster)

    assert failed["status"] == "CREATE_FAILED"
    assert failed["health"]["issues"][0]["code"] == "ConfigurationConflict"
    assert aws.aws_node_environment(cluster) == {"WARM_ENI_TARGET": "4"}


@pytest.mark.parametrize(("preserve", "left"), [(True, True), (False, False)])
def test_deletion_leaves_the_daemonset_only_with_preserve(
    aws: Endpoint, eks: Any, cluster: str, *, preserve: bool, left: bool
) -> None:
    create(eks, cluster)

    eks.delete_addon(clusterName=cluster, addonName="vpc-cni", preserve=preserve)
    deadline = time.monotonic() + 60
    while eks.list_addons(clusterName=cluster)["addons"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)

    assert bool(aws.aws_node_environment(cluster)) is left


def test_an_addon_in_transition_is_not_updated(aws: Endpoint, eks: Any, cluster: str) -> None:
    aws.change(addon_seconds=5)
    try:
        eks.create_addon(clusterName=cluster, addonName="vpc-cni", addonVersion=VERSION)
        code, _ = refused(lambda: eks.update_addon(clusterName=cluster, addonName="vpc-cni", addonVersion=VERSION))
    finally:
        aws.change(addon_seconds=0.05)

    assert code == "ResourceInUseException"


def test_tags_of_an_addon_can_be_changed(eks: Any, cluster: str) -> None:
    arn = create(eks, cluster, tags={"a": "1", "b": "2"})["addonArn"]

    eks.tag_resource(resourceArn=arn, tags={"c": "3"})
    eks.untag_resource(resourceArn=arn, tagKeys=["a", "b"])

    assert eks.list_tags_for_resource(resourceArn=arn)["tags"] == {"c": "3"}
