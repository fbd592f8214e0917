"""`headroom calc max-pods`."""

import click

from headroom.addresses.problems import Problem
from headroom.capacity.ec2 import PREFIX_ADDRESSES
from headroom.capacity.limits import HOST_NETWORK_PODS, LARGE_INSTANCE_MAX_PODS, SMALL_INSTANCE_VCPUS, max_pods
from headroom.cli.calc.answer import Answer, Term, answers
from headroom.cli.calc.reading import Reader

HELP = """
\b
headroom calc max-pods --instance-type m5.large
headroom calc max-pods --instance-type m5.large --prefix-delegation

What to set as kubelet's maxPods: the pods that the addresses allow, and never more than the advised ceiling (110, or
250 above 30 vCPUs), which managed node groups apply in every mode.
"""

_SOURCE = "amazon-eks-ami, max-pods-calculator.sh"


@click.command(help=HELP)
@click.option("--instance-type", metavar="T", help="Instance type, such as m5.large.")
@click.option("--limits", metavar="ENIS,IPV4", help="Instead: network interfaces, and IPv4 addresses on each.")
@click.option("--prefix-delegation", is_flag=True, help="With ENABLE_PREFIX_DELEGATION=true.")
@click.option("--custom-networking", is_flag=True, help="The first interface carries no pods.")
@answers
def command(
    *, instance_type: str | None, limits: str | None, prefix_delegation: bool, custom_networking: bool
) -> Answer:
    """Reads the options and answers."""
    reader = Reader()
    found = reader.limits(instance_type, limits)
    reader.done("calc max-pods")
    if found is None:  # done() has raised
        raise AssertionError(instance_type)
    most = max_pods(found, prefix_delegation=prefix_delegation, custom_networking=custom_networking)
    prefixes = prefix_delegation and found.supports_prefixes
    if not most.cap_known:
        reader.warnings.append(
            Problem(
                rule="vcpus-unknown",
                value=found.instance_type or f"--limits {limits}",
                reason=f"has an unknown number of vCPUs, so the lower ceiling of {most.cap} was taken.",
                next_step=f"Above {SMALL_INSTANCE_VCPUS} vCPUs it is {LARGE_INSTANCE_MAX_PODS}.",
                source=_SOURCE,
            )
        )
    if prefix_delegation and not prefixes:
        reader.warnings.append(
            Problem(
                rule="cni-prefix-not-nitro",
                value=found.instance_type,
                reason="is neither Nitro nor bare metal: it goes on with single addresses.",
                next_step="Count it without prefixes.",
                source="EKS user guide, cni-increase-ip-addresses",
            )
        )
    interfaces = found.enis - 1 if custom_networking else found.enis
    factor = f" x {PREFIX_ADDRESSES}" if prefixes else ""
    return Answer(
        data={"maxPods": most.value, "uncapped": most.uncapped, "cap": most.cap},
        facts=[
            ("maxPods", f"{most.value:,}"),
            ("by addresses alone", f"{most.uncapped:,}"),
            ("advised ceiling", f"{most.cap:,}"),
        ],
        warnings=reader.warnings,
        terms=[
            Term(
                "uncapped",
                f"{interfaces} x {found.secondary_per_eni}{factor} + {HOST_NETWORK_PODS} pods on the host network = "
                f"{most.uncapped:,}",
                _SOURCE,
            ),
            Term(
                "cap",
                f"{most.cap}, {'unknown' if found.vcpus is None else found.vcpus} vCPUs",
                f"{_SOURCE}; EKS user guide, cni-increase-ip-addresses",
            ),
        ],
        next_step="set it in the node group's launch template or the EC2NodeClass: nodeadm's default ignores prefixes"
        if prefixes
        else "",
    )
