"""More address space for a VPC that exists already."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
from pulumi_aws import ec2

from headroom.addresses.association import CIDR_QUOTA, check_association
from headroom.addresses.blocks import Block, read_blocks
from headroom.addresses.problems import Problem, ProblemsError


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondaryCidrArgs:
    """What to associate with which VPC.

    Attributes:
        vpc_id: The VPC, which belongs to somebody else.
        cidr_blocks: What to associate, /16 to /28 each, in canonical form. Plain: known at preview.
        existing_cidr_blocks: What is associated with the VPC already, the primary first. Plain. A block of
            `cidr_blocks` may stand here too, once it has been associated.
        routes: Destinations of the VPC's route tables other than `local`.
        peer_cidr_blocks: CIDRs of actively peered VPCs.
        direct_connect_cidr_blocks: CIDRs of VPCs behind the same Direct Connect gateway.
        service_cidr: The cluster's service range.
        quota: IPv4 CIDRs a VPC, the primary included (service quota L-83CA0A9D).
        allow_family_mix: Lifts the restriction on mixing RFC 1918 families (aws-cdk #36111), nothing else.
        protect: Refuse to delete the associations. `pulumi destroy` needs an `up` with `False` first.
        adopt: Ids of associations that exist already, by CIDR: taken over instead of created.

    Raises:
        ProblemsError: Everything that speaks against one of the blocks, all at once.
    """

    vpc_id: pulumi.Input[str]
    cidr_blocks: Sequence[str]
    existing_cidr_blocks: Sequence[str]
    routes: Sequence[str] = ()
    peer_cidr_blocks: Sequence[str] = ()
    direct_connect_cidr_blocks: Sequence[str] = ()
    service_cidr: str | None = None
    quota: int = CIDR_QUOTA
    allow_family_mix: bool = False
    protect: bool = True
    adopt: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        problems = self.problems()
        if problems:
            raise ProblemsError(problems, subject="SecondaryCidrArgs")

    def problems(self) -> list[Problem]:
        """Everything that speaks against the blocks, judged one after the other as they will be associated."""
        found: list[Problem] = []
        candidates = read_blocks(self.cidr_blocks, key="cidr_blocks", problems=found)
        existing = read_blocks(self.existing_cidr_blocks, key="existing_cidr_blocks", problems=found)
        routes = read_blocks(self.routes, key="routes", problems=found)
        peers = read_blocks(self.peer_cidr_blocks, key="peer_cidr_blocks", problems=found)
        direct_connect = read_blocks(self.direct_connect_cidr_blocks, key="direct_connect_cidr_blocks", problems=found)
        service: Block | None = None
        try:
            service = Block.parse(self.service_cidr, key="service_cidr") if self.service_cidr else None
        except ProblemsError as error:
            found.extend(error.problems)
        if not self.cidr_blocks:
            found.append(
                Problem(
                    rule="nothing-to-associate",
                    key="cidr_blocks",
                    value="[]",
                    reason="names no block.",
                    next_step="Name at least one, such as 100.64.0.0/16.",
                )
            )
        if not self.existing_cidr_blocks:
            found.append(
                Problem(
                    rule="no-existing-cidrs",
                    key="existing_cidr_blocks",
                    value="[]",
                    reason="names no block, but every VPC has a primary CIDR that the new ones are judged against.",
                    next_step="List all CIDRs of the VPC: `aws ec2 describe-vpcs --vpc-ids …`.",
                    source="VPC user guide, vpc-cidr-blocks",
                )
            )
        if existing and existing[0] in candidates:
            found.append(
                Problem(
                    rule="primary-cidr",
                    key="cidr_blocks",
                    value=str(existing[0]),
                    reason="is the VPC's primary CIDR, whose association can be neither made nor taken away.",
                    next_step="Leave it out, for subnets may lie in it; if it is not, list the primary one first.",
                    source="VPC user guide, vpc-cidr-blocks",
                )
            )
            return found
        found.extend(
            Problem(
                rule="cidr-twice",
                key="cidr_blocks",
                value=str(block),
                reason="is listed more than once.",
                next_step="Keep one.",
                source="VPC user guide, vpc-cidr-blocks",
            )
            for block in dict.fromkeys(candidates)
            if candidates.count(block) > 1
        )
        associated = [block for block in existing if block not in candidates]
        if not associated:
            return found
        for candidate in dict.fromkeys(candidates):
            verdict = check_association(
                associated,
                candidate,
                routes=routes,
                peers=peers,
                direct_connect=direct_connect,
                service_cidr=service,
                quota=self.quota,
                allow_family_mix=self.allow_family_mix,
            )
            found.extend(verdict.problems)
            associated.append(candidate)
        return found


class SecondaryCidr(pulumi.ComponentResource):
    """Associates CIDRs with a VPC; what is made inside them waits until the association has succeeded.

    EC2 accepts an association before it takes effect, and a subnet made in between fails (hashicorp/terraform
    #21256). So take the VPC's id for such a subnet from `vpc_id_for`.
    """

    vpc_ids: Mapping[str, pulumi.Output[str]]
    """The VPC's id by associated CIDR, known once that CIDR is associated."""
    association_ids: Mapping[str, pulumi.Output[str]]
    """The association's id by CIDR."""

    def __init__(self, name: str, args: SecondaryCidrArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("headroom:index:SecondaryCidr", name, {}, opts)
        associations = {
            cidr: ec2.VpcIpv4CidrBlockAssociation(
                f"{name}-{cidr}",
                vpc_id=args.vpc_id,
                cidr_block=cidr,
                opts=pulumi.ResourceOptions(parent=self, protect=args.protect, import_=args.adopt.get(cidr)),
            )
            for cidr in args.cidr_blocks
        }
        self.vpc_ids = {cidr: association.vpc_id for cidr, association in associations.items()}
        self.association_ids = {cidr: association.id for cidr, association in associations.items()}
        outputs: dict[str, Any] = {"vpcIds": self.vpc_ids, "associationIds": self.association_ids}
        self.register_outputs(outputs)

    def vpc_id_for(self, cidr_block: str) -> pulumi.Output[str]:
        """The VPC's id for something inside `cidr_block`, usable once the CIDR around it is associated.

        Raises:
            ProblemsError: `cidr_block` lies in none of the associated CIDRs.
        """
        block = Block.parse(cidr_block)
        for cidr, vpc_id in self.vpc_ids.items():
            if Block.parse(cidr).contains(block):
                return vpc_id
        raise ProblemsError(
            [
                Problem(
                    rule="outside-associated-cidrs",
                    value=cidr_block,
                    reason=f"lies in none of {', '.join(self.vpc_ids)}.",
                    next_step="Take a block inside one of them.",
                )
            ]
        )
