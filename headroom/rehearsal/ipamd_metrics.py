"""What ipamd of a simulated node counts, as its metrics show it."""

from collections import Counter
from collections.abc import Mapping

from headroom.capacity.ec2 import PREFIX_ADDRESSES
from headroom.capacity.ipamd import Ipamd

METRICS_PORT = 61678
METRICS_PATH = "/metrics"
"""Where ipamd serves them (amazon-vpc-cni-k8s, pkg/ipamd/introspect.go and cmd/cni-metrics-helper)."""


def metrics(ipamd: Ipamd, api_errors: Mapping[tuple[str, str], int], no_address: int) -> str:
    """The metrics that a reading of the pool needs (amazon-vpc-cni-k8s, utils/prometheusmetrics).

    Args:
        ipamd: The node's ipamd.
        api_errors: How often EC2 refused, by action and error code.
        no_address: How often a pod asked for an address and there was none.
    """
    state, limits = ipamd.state, ipamd.limits
    an_eni = limits.secondary_per_eni * (PREFIX_ADDRESSES if ipamd.settings.prefix_delegation else 1)
    gauges = {
        "awscni_total_ip_addresses": state.secondary_addresses + PREFIX_ADDRESSES * state.prefixes,
        "awscni_assigned_ip_addresses": state.assigned,
        "awscni_total_ipv4_prefixes": state.prefixes,
        "awscni_eni_allocated": state.enis,
        "awscni_eni_max": limits.enis,
        "awscni_ip_max": limits.enis * an_eni,
    }
    lines = [line for name, value in gauges.items() for line in (f"# TYPE {name} gauge", f"{name} {value}")]
    lines += ["# TYPE awscni_no_available_ip_addresses counter", f"awscni_no_available_ip_addresses {no_address}"]
    if api_errors:
        lines.append("# TYPE awscni_aws_api_error_count counter")
    lines += [
        f'awscni_aws_api_error_count{{api="{action}",error="{code}"}} {count}'
        for (action, code), count in sorted(Counter(api_errors).items())
    ]
    return "\n".join(lines) + "\n"
