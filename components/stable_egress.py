"""Static addresses for the way out, a NAT gateway with them, and its place on subnets that belong to others."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import pulumi
from pulumi_azure_native import monitor, network

from components.azure_provider import provider_version
from headroom.addresses.blocks import listed
from headroom.addresses.problems import Problem, ProblemsError
from headroom.planning.egress import Egress, Gateway, SubnetId

TYPE: Final = "headroom:index:StableEgress"

SKU: Final = "Standard"

SUBNET_PROPERTIES: Final = (
    "addressPrefix",
    "addressPrefixes",
    "applicationGatewayIPConfigurations",
    "defaultOutboundAccess",
    "delegations",
    "ipAllocations",
    "ipamPoolPrefixAllocations",
    "natGateway",
    "networkSecurityGroup",
    "privateEndpointNetworkPolicies",
    "privateLinkServiceNetworkPolicies",
    "routeTable",
    "serviceEndpointPolicies",
    "serviceEndpoints",
    "sharingScope",
)
"""Everything that a PUT of a subnet can carry (pulumi-azure-native 3.29, network.Subnet): what is left out is taken
away by Azure, such as AKS's route table (Azure/AKS #400, #1242)."""

REFERENCES: Final = frozenset({"natGateway", "networkSecurityGroup", "routeTable"})
"""Properties that name another resource: of it the id alone is sent."""
_ID_LISTS: Final = frozenset({"ipAllocations", "serviceEndpointPolicies"})
_READ_ONLY: Final = frozenset({"etag", "provisioningState", "type", "purpose"})
"""What Azure adds to an answer and does not take back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StableEgressArgs:
    """The gateways, and the subnets as they stand.

    Attributes:
        egress: What the stack file says. Plain: known at preview.
        location: The region.
        live: Every subnet of the gateways as Azure shows it now, by its ARM id in lower case; only what is attached
            is needed.
        addresses: The static addresses, or prefixes, that the gateways have; needed where they are attached.
        audited: Of those, the ones that the audit found on every allow-list.
        waiting: Names of addresses that are made, and not put on their gateway, which is in use: no audit has them yet.
        adopt: Ids of what exists already, by the name in the program (see `stacks/azure_adoption.py`).

    Raises:
        ProblemsError: A subnet is missing or has another NAT gateway, or an address was not audited.
    """

    egress: Egress
    location: str
    live: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    addresses: frozenset[str] = frozenset()
    audited: frozenset[str] = frozenset()
    waiting: frozenset[str] = frozenset()
    adopt: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        problems = [problem for key, gateway in self.egress.gateways.items() for problem in self._wrong(key, gateway)]
        missing = sorted(self.addresses - self.audited)
        if self.egress.attach and (missing or not self.addresses):
            problems.append(
                Problem(
                    rule="audit-clear",
                    key="headroom:attach",
                    value=listed(missing) if missing else "true",
                    reason="is not what was audited: attaching the gateway would cut somebody off."
                    if missing
                    else "comes before the addresses are known.",
                    next_step="Run `headroom audit-egress` with the stack's addresses, and commit its record.",
                )
            )
        if problems:
            raise ProblemsError(problems, subject="StableEgressArgs")

    def _wrong(self, key: str, gateway: Gateway) -> list[Problem]:
        if not self.egress.attach:
            return []
        found = []
        for name, subnet in gateway.subnets.items():
            live = self.live.get(subnet.id.casefold())
            place = f"headroom:gateways.{key}.subnets.{name}"
            if live is None:
                problem = Problem(rule="subnet-read", key=place, value=subnet.name, reason="could not be read.")
                found.append(problem)
                continue
            there = str((live.get("natGateway") or {}).get("id") or "")
            other = there.rpartition("/")[2]
            if there and not is_gateway(there, self.egress, gateway):
                found.append(
                    Problem(
                        rule="one-gateway",
                        key=place,
                        value=subnet.name,
                        reason=f"has the NAT gateway {other} already, and a subnet has one.",
                        next_step="Use that one, or take it off first: its addresses go with it.",
                    )
                )
        return found


class StableEgress(pulumi.ComponentResource):
    """Makes addresses and gateways; with `attach` it puts the gateways on their subnets, losing nothing of them.

    Azure takes a subnet as a whole: what is not sent is gone. So every property that the subnet has is read and sent
    again. The subnet is imported, protected and retained: it belongs to others.
    """

    addresses: pulumi.Output[list[str]]
    """The static addresses, or the prefixes, of all gateways."""

    def __init__(self, name: str, args: StableEgressArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(TYPE, name, {}, opts)
        found: list[pulumi.Output[str]] = []
        for key, gateway in args.egress.gateways.items():
            ids, texts, is_prefix = self._addresses(name, key, gateway, args)
            nat = network.NatGateway(
                f"{name}-{key}",
                resource_group_name=args.egress.resource_group,
                nat_gateway_name=gateway.name,
                location=args.location,
                sku=network.NatGatewaySkuArgs(name=SKU),
                zones=list(gateway.zones) or None,
                idle_timeout_in_minutes=gateway.idle_minutes,
                public_ip_addresses=None if is_prefix else [network.SubResourceArgs(id=each) for each in ids],
                public_ip_prefixes=[network.SubResourceArgs(id=each) for each in ids] if is_prefix else None,
                tags=dict(args.egress.tags) or None,
                opts=pulumi.ResourceOptions(parent=self, protect=True, import_=args.adopt.get(f"{name}-{key}")),
            )
            found.extend(texts)
            self._alarms(name, key, nat, args)
            if args.egress.attach:
                for subnet_key, subnet in gateway.subnets.items():
                    self._attach(f"{name}-{key}-{subnet_key}", subnet, args, nat.id)
        self.addresses = pulumi.Output.all(*found).apply(sorted)
        self.register_outputs({"addresses": self.addresses})

    def _addresses(
        self, name: str, key: str, gateway: Gateway, args: StableEgressArgs
    ) -> tuple[list[pulumi.Output[str]], list[pulumi.Output[str]], bool]:
        """Ids of what is on a gateway, texts of all its addresses; whether they are one prefix."""

        def kept(child: str) -> pulumi.ResourceOptions:
            # A change of most properties replaces an address, and another address is on no allow-list.
            return pulumi.ResourceOptions(
                parent=self,
                protect=True,
                retain_on_delete=True,
                import_=args.adopt.get(child),
                # The gateway says which addresses it has; a refresh would have them say it, too. Zones that Azure chose
                # stay, and would be taken away from an address that is taken over.
                ignore_changes=["natGateway", *([] if gateway.zones else ["zones"])],
            )

        # Standard addresses are in all zones by themselves; a gateway in one zone takes them.
        if gateway.prefix_length is not None:
            prefix = network.PublicIPPrefix(
                f"{name}-{key}-prefix",
                resource_group_name=args.egress.resource_group,
                public_ip_prefix_name=prefix_name(gateway),
                location=args.location,
                prefix_length=gateway.prefix_length,
                sku=network.PublicIPPrefixSkuArgs(name=SKU),
                zones=list(gateway.zones) or None,
                tags=dict(args.egress.tags) or None,
                opts=kept(f"{name}-{key}-prefix"),
            )
            on = [] if prefix_name(gateway) in args.waiting else [prefix.id]
            return on, [prefix.ip_prefix], True
        made = [
            network.PublicIPAddress(
                f"{name}-{key}-{number}",
                resource_group_name=args.egress.resource_group,
                public_ip_address_name=text,
                location=args.location,
                sku=network.PublicIPAddressSkuArgs(name=SKU),
                public_ip_allocation_method=network.IPAllocationMethod.STATIC,
                public_ip_address_version=network.IPVersion.I_PV4,
                zones=list(gateway.zones) or None,
                tags=dict(args.egress.tags) or None,
                opts=kept(f"{name}-{key}-{number}"),
            )
            for number, text in enumerate(address_names(gateway), 1)
        ]
        on = [each.id for each, text in zip(made, address_names(gateway), strict=True) if text not in args.waiting]
        return on, [each.ip_address.apply(lambda text: text or "") for each in made], False

    def _attach(
        self, name: str, subnet: SubnetId, args: StableEgressArgs, gateway_id: pulumi.Output[str]
    ) -> network.Subnet:
        """The subnet as it stands, and the gateway."""
        live = args.live[subnet.id.casefold()]
        properties = {**kept_properties(live), "natGateway": {"id": gateway_id}}
        return network.Subnet(
            name,
            resource_group_name=subnet.resource_group,
            virtual_network_name=subnet.vnet,
            subnet_name=subnet.name,
            **subnet_arguments(properties),
            opts=pulumi.ResourceOptions(
                parent=self,
                protect=True,
                retain_on_delete=True,
                import_=args.adopt.get(name),
                hooks=unchanged_since(name, live, self),
            ),
        )

    def _alarms(self, name: str, key: str, nat: network.NatGateway, args: StableEgressArgs) -> None:
        alarms = args.egress.alarms
        for what, alarm in ALARMS.items():
            threshold = alarms.failed_connections if what == "snat" else alarms.availability_percent
            monitor.MetricAlert(
                f"{name}-{key}-{what}",
                resource_group_name=args.egress.resource_group,
                rule_name=alarm_name(args.egress.gateways[key], what),
                location="global",
                description=alarm["description"],
                severity=alarm["severity"],
                enabled=True,
                scopes=[nat.id],
                evaluation_frequency=alarm["every"],
                window_size=alarm["window"],
                criteria=monitor.MetricAlertSingleResourceMultipleMetricCriteriaArgs(
                    odata_type="Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria",
                    all_of=[
                        monitor.MetricCriteriaArgs(
                            criterion_type="StaticThresholdCriterion",
                            name=what,
                            metric_namespace="Microsoft.Network/natGateways",
                            metric_name=alarm["metric"],
                            time_aggregation=alarm["aggregation"],
                            operator=alarm["operator"],
                            threshold=threshold,
                            dimensions=alarm["dimensions"],
                        )
                    ],
                ),
                actions=[monitor.MetricAlertActionArgs(action_group_id=each) for each in alarms.action_groups] or None,
                tags=dict(args.egress.tags) or None,
                opts=pulumi.ResourceOptions(parent=self, import_=args.adopt.get(f"{name}-{key}-{what}")),
            )


def is_gateway(identifier: str, egress: Egress, gateway: Gateway) -> bool:
    """Whether an ARM id is that of one of the stack's gateways."""
    group, _, name = identifier.casefold().partition("/providers/")
    return name.rpartition("/")[2] == gateway.name.casefold() and group.endswith(
        f"/resourcegroups/{egress.resource_group}".casefold()
    )


def prefix_name(gateway: Gateway) -> str:
    """What the public prefix of a gateway is called."""
    return f"{gateway.name}-prefix"


def address_names(gateway: Gateway) -> list[str]:
    """What the public addresses of a gateway are called; none where it has a prefix."""
    return [f"{gateway.name}-{number}" for number in range(1, gateway.addresses + 1)]


def alarm_name(gateway: Gateway, what: str) -> str:
    """What an alarm of a gateway is called."""
    return f"{gateway.name}-{what}"


def kept_properties(live: Mapping[str, Any]) -> dict[str, Any]:
    """What a subnet has, in the form in which a PUT takes it back."""
    found: dict[str, Any] = {}
    for key in SUBNET_PROPERTIES:
        value = live.get(key)
        # An empty list stays: left out, a preview would tell a reviewer that it is taken away.
        if value in (None, {}):
            continue
        if key in REFERENCES:
            found[key] = {"id": value["id"]}
        elif key in _ID_LISTS:
            found[key] = [{"id": each["id"]} for each in value]
        elif isinstance(value, list):
            found[key] = [_writable(each) for each in value]
        else:
            found[key] = value
    if "addressPrefix" in found and "addressPrefixes" in found:
        del found["addressPrefixes"]
    return found


def subnet_arguments(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Properties of a subnet by the names of the SDK's arguments."""
    return {_SNAKE[key]: value for key, value in properties.items()}


GET_SUBNET: Final = "azure-native:network:getSubnet"


class ChangedSubnetError(RuntimeError):
    """A subnet that somebody changed after it was read; the text says what, and the way on."""


def unchanged_since(
    name: str, live: Mapping[str, Any] | None, parent: pulumi.Resource, keys: Collection[str] = SUBNET_PROPERTIES
) -> pulumi.ResourceHookBinding:
    """Lets a subnet be written only as long as it is what was read: what came on it since would be taken away.

    Azure takes an etag with a PUT, and azure-native sends none: so the subnet is read once more, right before it.
    Arguments are those of `refuse_changed_subnet`.
    """

    async def refuse(changed: pulumi.ResourceHookArgs) -> None:
        await refuse_changed_subnet(changed, live, parent, keys)

    guard = pulumi.ResourceHook(f"{name}-guard", refuse)
    return pulumi.ResourceHookBinding(before_create=None if live is None else [guard], before_update=[guard])


async def refuse_changed_subnet(
    changed: pulumi.ResourceHookArgs,
    read: Mapping[str, Any] | None,
    parent: pulumi.Resource | None = None,
    keys: Collection[str] = SUBNET_PROPERTIES,
) -> None:
    """Returns when the subnet that is about to be written is still as it was read.

    Args:
        changed: What is about to be written.
        read: The subnet as the program read it; None: it is written as the last refresh found it.
        parent: Whose provider is asked: that of the component.
        keys: Properties that must be what they were.

    Raises:
        ChangedSubnetError: It is another one, or could not be read.
    """
    if pulumi.runtime.is_dry_run():
        return
    inputs = changed.new_inputs or {}
    arguments = {key: inputs[key] for key in ("resourceGroupName", "virtualNetworkName", "subnetName")}
    options = pulumi.InvokeOptions(parent=parent, version=provider_version())
    subnet = arguments["subnetName"]
    try:
        now = await pulumi.runtime.invoke_async(GET_SUBNET, arguments, options) or {}
    except Exception as error:  # the SDK raises nothing narrower for a failed invoke
        said = " ".join(str(error).split())
        raise ChangedSubnetError(f"{subnet} could not be read again: {said}.\nNext: repeat the command.") from error
    if read and read.get("etag") and now.get("etag") == read["etag"]:
        return
    before, after = kept_properties(inputs if read is None else read), kept_properties(now)
    # Azure shows an empty list where a program writes nothing.
    others = sorted(key for key in keys if (before.get(key) or None) != (after.get(key) or None))
    if others:
        raise ChangedSubnetError(
            f"{subnet} has another {listed(others)} than when it was read, and this would undo it: somebody else is "
            "at work on it.\nNext: repeat the command with --refresh."
        )


def _writable(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {key: each for key, each in value.items() if key not in _READ_ONLY and each not in (None, [], {})}


_SNAKE: Final = {
    "addressPrefix": "address_prefix",
    "addressPrefixes": "address_prefixes",
    "applicationGatewayIPConfigurations": "application_gateway_ip_configurations",
    "defaultOutboundAccess": "default_outbound_access",
    "delegations": "delegations",
    "ipAllocations": "ip_allocations",
    "ipamPoolPrefixAllocations": "ipam_pool_prefix_allocations",
    "natGateway": "nat_gateway",
    "networkSecurityGroup": "network_security_group",
    "privateEndpointNetworkPolicies": "private_endpoint_network_policies",
    "privateLinkServiceNetworkPolicies": "private_link_service_network_policies",
    "routeTable": "route_table",
    "serviceEndpointPolicies": "service_endpoint_policies",
    "serviceEndpoints": "service_endpoints",
    "sharingScope": "sharing_scope",
}

ALARMS: Final[Mapping[str, Mapping[str, Any]]] = {
    "snat": {
        "metric": "SNATConnectionCount",
        "aggregation": "Total",
        "operator": "GreaterThan",
        "every": "PT1M",
        "window": "PT5M",
        "severity": 1,
        "dimensions": [{"name": "ConnectionState", "operator": "Include", "values": ["Failed"]}],
        "description": "Outbound connections fail for want of SNAT ports. Next: headroom diagnose --cloud aks.",
    },
    "datapath": {
        "metric": "DatapathAvailability",
        "aggregation": "Average",
        "operator": "LessThan",
        "every": "PT5M",
        "window": "PT15M",
        "severity": 1,
        "dimensions": None,
        "description": "The NAT gateway itself is not available: look at Azure's resource health of its zone.",
    },
}
"""Alarms by name (Azure NAT Gateway documentation, nat-metrics): the count of connections is a total, never a count of
samples."""
