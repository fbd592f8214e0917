"""EKS clusters of the simulated AWS: moto's, in a VPC and with a security group, as EKS shows them."""

from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.eks import urls
from moto.eks.exceptions import InvalidParameterException
from moto.eks.models import Cluster, EKSBackend, Nodegroup, eks_backends

from headroom.rehearsal.aws.ec2 import RehearsalBackend, backend_of

_api_server: dict[str, str] = {}


def serve_at(endpoint: str, authority: str) -> None:
    """Have every cluster that is made from now on tell where the rehearsal's control plane is, as EKS tells its own.

    Args:
        endpoint: Its URL.
        authority: Its certificate authority, PEM in base64.
    """
    _api_server.update(endpoint=endpoint, authority=authority)


class RehearsalClusters(EKSBackend):
    """EKS of one Region."""

    @property
    def _url_module(self) -> Any:
        """Where moto finds the paths that it serves; it would look beside this module."""
        return urls

    def create_cluster(  # type: ignore[override]  # what is not looked at here is handed on
        self, name: str, role_arn: str, resources_vpc_config: dict[str, Any], **others: Any
    ) -> Cluster:
        """Create a cluster in the VPC of its subnets, with the security group that EKS makes for it."""
        ec2 = backend_of(self.region_name)
        vpc_id = _vpc_of(ec2, resources_vpc_config.get("subnetIds", []))
        cluster = super().create_cluster(name, role_arn, resources_vpc_config, **others)
        group = ec2.create_security_group(
            f"eks-cluster-sg-{name}-{ec2.random_number()}",
            "EKS created security group applied to ENI that is attached to EKS Control Plane master nodes, as "
            "well as any managed workloads.",
            vpc_id=vpc_id,
            tags={f"kubernetes.io/cluster/{name}": "owned", "aws:eks:cluster-name": name},
        )
        cluster.resources_vpc_config = {
            "endpointPublicAccess": True,
            "endpointPrivateAccess": False,
            "publicAccessCidrs": ["0.0.0.0/0"],
            "securityGroupIds": [],
            **resources_vpc_config,
            "vpcId": vpc_id,
            "clusterSecurityGroupId": group.id,
        }
        if _api_server:
            cluster.endpoint = _api_server["endpoint"]
            cluster.certificate_authority = {"data": _api_server["authority"]}
        cluster.kubernetes_network_config = {"ipFamily": "ipv4", **(cluster.kubernetes_network_config or {})}
        return cluster

    def describe_nodegroup(self, cluster_name: str, nodegroup_name: str) -> Nodegroup:
        """A node group, with what its Auto Scaling group met when it last tried to launch an instance."""
        group = super().describe_nodegroup(cluster_name, nodegroup_name)
        group.health = {"issues": _launch_issues(backend_of(self.region_name), group)}
        return group


def _launch_issues(ec2: RehearsalBackend, group: Nodegroup) -> list[dict[str, Any]]:
    """What EKS reports while a group wants more instances than it has, and its subnets have no address for one.

    EKS API reference, Issue (AsgInstanceLaunchFailures); the text is that of EC2's RunInstances.
    """
    launched = [
        instance
        for instance in ec2.all_instances()
        if any(
            tag["key"] == "eks:nodegroup-name" and tag["value"] == group.nodegroup_name for tag in instance.get_tags()
        )
    ]
    if len(launched) >= int(group.scaling_config["desiredSize"]):
        return []
    full = [name for name in group.subnets if ec2.get_subnet(name).available_ip_address_count < 1]
    if len(full) < len(group.subnets):
        return []
    return [
        {
            "code": "AsgInstanceLaunchFailures",
            "message": "Could not launch On-Demand Instances. InsufficientFreeAddressesInSubnet - There are not enough "
            f"free addresses in subnet '{full[0]}' to satisfy the requested number of instances. Launching EC2 "
            "instance failed.",
            "resourceIds": [f"eks-{group.uuid}"],
        }
    ]


def _vpc_of(ec2: RehearsalBackend, subnet_ids: list[str]) -> str:
    try:
        vpcs = {ec2.get_subnet(identifier).vpc_id for identifier in subnet_ids}
    except EC2ClientError as error:
        raise InvalidParameterException(message=str(error)) from error
    if len(vpcs) != 1:
        reason = "Subnets are not in the same VPC" if vpcs else "Subnets must not be empty"
        raise InvalidParameterException(message=reason)
    return vpcs.pop()


def install() -> None:
    """Put these clusters in the place of moto's own; once in a process, before the first request."""
    eks_backends.backend = RehearsalClusters
