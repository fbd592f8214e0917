"""EKS clusters of the simulated AWS: moto's, in a VPC and with a security group, as EKS shows them."""

from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.eks import urls
from moto.eks.exceptions import InvalidParameterException
from moto.eks.models import Cluster, EKSBackend, eks_backends

from headroom.rehearsal.aws.ec2 import RehearsalBackend, backend_of


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
        cluster.kubernetes_network_config = {"ipFamily": "ipv4", **(cluster.kubernetes_network_config or {})}
        return cluster


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
