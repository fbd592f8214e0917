"""The stack of a stable way out for AKS clusters: static addresses first, then the gateway on subnets that exist."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pulumi

from components.stable_egress import (
    ALARMS,
    StableEgress,
    StableEgressArgs,
    address_names,
    alarm_name,
    is_gateway,
    prefix_name,
)
from headroom.addresses.blocks import listed
from headroom.addresses.problems import Problem, ProblemsError
from headroom.planning.audit_record import AuditRecord, clear_for, file_name, not_looked_for, read_record
from headroom.planning.egress import Egress, Gateway, cluster_problems, outbound_ids, read_egress, route_problem
from stacks.azure_adoption import Candidate, find_existing, theirs
from stacks.azure_lookups import find, look_up, read_route_table, read_subnet, subnet_names
from stacks.azure_settings import recorded, required_location, stacks_folder
from stacks.recorded import STACK_TAG, Recorded, recorded_resources, stack_tag
from stacks.settings import ConfigReader

NAME: Final = "egress"
"""Logical name of the component: it never changes."""

SUBNET_TYPE: Final = "azure-native:network:Subnet"
GET_GATEWAY: Final = "network:getNatGateway"


def deploy() -> None:
    """Declares the stack.

    Raises:
        ProblemsError: Everything that is wrong with the configuration, with a subnet, or with the audit.
    """
    config = ConfigReader()
    location = required_location(config)
    egress = read_settings(config)
    live = {
        subnet.id.casefold(): read_subnet(subnet)
        for gateway in egress.gateways.values()
        for subnet in gateway.subnets.values()
        if egress.attach
    }
    state = recorded_resources()
    refuse_letting_go(egress, state or {})
    there = read_gateways(egress) if egress.attach else {}
    waiting, addresses, audited = frozenset[str](), frozenset[str](), frozenset[str]()
    if egress.attach and is_attached(egress, live, there):
        # Nothing moves any more: the audit was for the attachment, and another one is for further addresses alone.
        waiting = waiting_names(pulumi.get_stack(), egress, there, stacks_folder())
        addresses = audited = read_addresses(egress, waiting)
    elif egress.attach:
        record = clear_audit(pulumi.get_stack(), egress, stacks_folder())
        refuse_other_clusters(egress, record, live)
        refuse_routes_first(live)
        addresses, audited = read_addresses(egress), frozenset(record.new_addresses)
    made = StableEgress(
        NAME,
        StableEgressArgs(
            egress=replace(egress, tags={**egress.tags, STACK_TAG: stack_tag()}),
            location=location,
            live=live,
            addresses=addresses,
            audited=audited,
            waiting=waiting,
            adopt=find_existing(candidates(egress), state),
        ),
    )
    pulumi.export("addresses", made.addresses)
    pulumi.export(
        "next",
        "headroom verify: the clusters are seen with these addresses"
        if egress.attach and not waiting
        else made.addresses.apply(
            lambda found: (
                f"headroom audit-egress --new {' --new '.join(found)} --record "
                f"stacks/{file_name(pulumi.get_stack())}; then {'pulumi up' if waiting else 'headroom:attach: true'}"
            )
        ),
    )


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of static address, as azure-native has it.

    Attributes:
        type: Its type, which its function is called after.
        named: What the function calls its name.
        text: Where the answer has the address, or the prefix.
    """

    type: str
    named: str
    text: str

    @property
    def function(self) -> str:
        """The function that reads one."""
        return f"network:get{self.type}"

    def arguments(self, group: str, name: str) -> dict[str, str]:
        """What the function takes."""
        return {"resourceGroupName": group, self.named: name}


PREFIX: Final = Kind("PublicIPPrefix", "publicIpPrefixName", "ipPrefix")
ADDRESS: Final = Kind("PublicIPAddress", "publicIpAddressName", "ipAddress")


def static_addresses(gateway: Gateway) -> tuple[Kind, dict[str, str]]:
    """The kind of a gateway's static addresses, and what they are called, by how their names in the program end."""
    if gateway.prefix_length is not None:
        return PREFIX, {"prefix": prefix_name(gateway)}
    return ADDRESS, {str(number): called for number, called in enumerate(address_names(gateway), 1)}


def candidates(egress: Egress) -> Iterator[Candidate]:
    """What a run that was cut off may have made, and the subnets, which are there."""
    group = egress.resource_group
    for key, gateway in egress.gateways.items():
        place = f"headroom:gateways.{key}"
        name = f"{NAME}-{key}"
        kind, addresses = static_addresses(gateway)
        for end, called in addresses.items():
            yield Candidate(
                type=f"azure-native:network:{kind.type}",
                name=f"{name}-{end}",
                key=place,
                called=called,
                function=kind.function,
                arguments=kind.arguments(group, called),
            )
        yield Candidate(
            type="azure-native:network:NatGateway",
            name=name,
            key=f"{place}.name",
            called=gateway.name,
            function=GET_GATEWAY,
            arguments=_gateway_names(egress, gateway),
        )
        for what in ALARMS:
            called = alarm_name(gateway, what)
            yield Candidate(
                type="azure-native:monitor:MetricAlert",
                name=f"{name}-{what}",
                key=place,
                called=called,
                function="monitor:getMetricAlert",
                arguments={"resourceGroupName": group, "ruleName": called},
            )
        for subnet_key, subnet in gateway.subnets.items() if egress.attach else ():
            yield Candidate(
                type=SUBNET_TYPE,
                name=f"{name}-{subnet_key}",
                key=f"{place}.subnets.{subnet_key}",
                called=subnet.name,
                function="network:getSubnet",
                arguments=subnet_names(subnet),
                foreign=theirs,
                must=True,
            )


def read_settings(config: ConfigReader) -> Egress:
    """Reads the configuration.

    Raises:
        ProblemsError: Every problem with its key.
    """
    found: dict[str, Any] = {
        "resourceGroup": config.text("resourceGroup") or None,
        "gateways": config.mapping("gateways"),
        "clusters": config.mapping("clusters"),
        "attach": config.boolean("attach", default=False),
        "alarms": config.mapping("alarms"),
        "tags": config.mapping("tags"),
        "acceptUnread": config.texts("acceptUnread"),
    }
    config.refuse_other_keys("remedy")
    egress = config.attempt(lambda: read_egress(found))
    if config.problems or egress is None:
        raise ProblemsError(config.problems)
    return egress


def refuse_letting_go(egress: Egress, state: Recorded) -> None:
    """Refuses a file that does not have a subnet any more that the stack has put behind its gateway.

    The engine would be asked to delete the subnet. It is protected, and so refused; who lifts the protection because
    of that leaves the gateway on it, and has no way back that the stack knows of.

    Raises:
        ProblemsError: There is one.
    """
    declared = {
        f"{NAME}-{key}-{name}" for key, gateway in egress.gateways.items() for name in gateway.subnets if egress.attach
    }
    problems = [
        Problem(
            rule="still-attached",
            key="headroom:attach" if not egress.attach else "headroom:gateways",
            value=str(found.get("name") or name),
            reason="is behind the gateway, and to leave it out does not take it off.",
            next_step="Put it back. To take the gateway off: az network vnet subnet update --ids "
            f"{found.get('id') or 'SUBNET'} --remove natGateway, whereupon the old way out is there at once; then "
            f"`pulumi state delete --force` of {name}, and leave it out.",
        )
        for (type_, name), found in sorted(state.items())
        if type_ == SUBNET_TYPE and name not in declared
    ]
    if problems:
        raise ProblemsError(problems)


def read_gateways(egress: Egress) -> dict[str, Mapping[str, Any]]:
    """The gateways as Azure shows them now, by key; empty for one that is not there.

    Raises:
        ProblemsError: One may not be read.
    """
    return {
        key: find(GET_GATEWAY, gateway.name, **_gateway_names(egress, gateway)) or {}
        for key, gateway in egress.gateways.items()
    }


def _gateway_names(egress: Egress, gateway: Gateway) -> dict[str, str]:
    """What `network:getNatGateway` takes."""
    return {"resourceGroupName": egress.resource_group, "natGatewayName": gateway.name}


def is_attached(egress: Egress, live: Mapping[str, Mapping[str, Any]], there: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether every subnet has its gateway already.

    Where the file names none, the gateways are for subnets that other stacks make, and the audit comes before those.

    Args:
        egress: What the stack file says.
        live: Its subnets as Azure shows them now, by ARM id in lower case.
        there: Its gateways as Azure shows them now, by key.
    """
    own = [
        is_gateway(str((live[subnet.id.casefold()].get("natGateway") or {}).get("id") or ""), egress, gateway)
        for gateway in egress.gateways.values()
        for subnet in gateway.subnets.values()
    ]
    return all(own) if own else all(found.get("subnets") for found in there.values())


def waiting_names(stack: str, egress: Egress, there: Mapping[str, Mapping[str, Any]], folder: Path) -> frozenset[str]:
    """Addresses that are not on a gateway in use, and that no audit has found on every allow-list yet.

    Raises:
        ProblemsError: Something could not be read.
    """
    waiting = []
    for key, gateway in egress.gateways.items():
        on = [each["id"] for what in ("publicIpAddresses", "publicIpPrefixes") for each in there[key].get(what) or ()]
        held = {str(each).rpartition("/")[2].casefold() for each in on}
        _, names = static_addresses(gateway)
        waiting += [(gateway, name) for name in names.values() if name.casefold() not in held]
    if not waiting:
        return frozenset()
    text = recorded(folder / file_name(stack), rule="audit-clear")
    record = read_record(text, subject=file_name(stack)) if text else None
    found = []
    for gateway, name in waiting:
        address = _text_of(egress, gateway, name)
        if record is None or not address or clear_for(record, [address], egress.accept_unread, datetime.now(UTC)):
            found.append(name)
            first = address or "it, once it is made"
            pulumi.log.warn(f"{name} is not put on {gateway.name} yet, which is in use: audit {first} first.")
    return frozenset(found)


def _text_of(egress: Egress, gateway: Gateway, name: str) -> str:
    """An address, or a prefix, that may not be there yet."""
    kind, _ = static_addresses(gateway)
    found = find(kind.function, name, **kind.arguments(egress.resource_group, name)) or {}
    return str(found.get(kind.text) or "")


def refuse_other_clusters(egress: Egress, record: AuditRecord, live: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuses an audit of other clusters than those whose way out is about to move, and says who moves with them.

    Raises:
        ProblemsError: A cluster goes out otherwise than the audit took for granted, or could not be read.
    """
    problems: list[Problem] = []
    groups = set()
    for cluster in egress.clusters:
        found = find(
            "containerservice:getManagedCluster",
            f"cluster {cluster.name}",
            resourceGroupName=cluster.resource_group,
            resourceName=cluster.name,
        )
        addresses = [_outbound(identifier) for identifier in outbound_ids(found or {})]
        strangers = not_looked_for(record, addresses)
        if not addresses and cluster.outbound_type == "loadBalancer":
            strangers = ("an address that Azure does not show",)
        problems += cluster_problems(cluster, found, strangers, record.old_addresses)
        groups.add(str((found or {}).get("nodeResourceGroup") or "").casefold())
    if problems:
        raise ProblemsError(problems)
    for subnet in live.values():
        users = (str(each.get("id") or "") for each in subnet.get("ipConfigurations") or ())
        others = {of[1] for user in users if (of := _GROUP.search(user)) and of[1].casefold() not in groups}
        if others:
            pulumi.log.warn(
                f"{subnet.get('name')} has addresses of {listed(sorted(others))} too, which are no nodes of a cluster "
                "under headroom:clusters: they go out with the new address as well, and nobody audited theirs."
            )


def refuse_routes_first(live: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuses subnets whose routes come before the gateway: attached, it would do nothing, and look as if it did.

    Raises:
        ProblemsError: There is one, or its route table may not be read.
    """
    tables = ((subnet, (subnet.get("routeTable") or {}).get("id")) for subnet in live.values())
    found = (route_problem(str(subnet.get("name")), read_route_table(str(table))) for subnet, table in tables if table)
    if problems := [problem for problem in found if problem is not None]:
        raise ProblemsError(problems)


_GROUP: Final = re.compile(r"/resourceGroups/([^/]+)/", re.IGNORECASE)


def _outbound(identifier: str) -> str:
    """An address, or a prefix, by its ARM id."""
    parts = identifier.split("/")
    kind = PREFIX if parts[-2].casefold() == "publicipprefixes" else ADDRESS
    step = "Look at Reader on the cluster's node resource group."
    found = look_up(kind.function, parts[-1], step, **kind.arguments(parts[4], parts[-1]))
    return str(found.get(kind.text) or "")


def read_addresses(egress: Egress, without: Collection[str] = ()) -> frozenset[str]:
    """The addresses, or prefixes, that the first run made, but for some.

    Raises:
        ProblemsError: They are not there yet, or may not be read.
    """
    step = "Set headroom:attach to false and run `pulumi up` first: addresses come before the audit."
    found = []
    for gateway in egress.gateways.values():
        kind, names = static_addresses(gateway)
        for name in names.values():
            if name not in without:
                there = look_up(kind.function, name, step, **kind.arguments(egress.resource_group, name))
                found.append(str(there.get(kind.text) or ""))
    return frozenset(found)


def clear_audit(stack: str, egress: Egress, folder: Path) -> AuditRecord:
    """The audit, which found its new addresses on every allow-list.

    Raises:
        ProblemsError: There is no record, or it is not clear.
    """
    path = folder / file_name(stack)
    text = recorded(path, rule="audit-clear")
    if not text:
        problem = Problem(
            rule="audit-clear",
            key="headroom:attach",
            value="true",
            reason=f"comes before the audit: there is no {path.name}.",
            next_step=f"Run `headroom audit-egress … --record stacks/{path.name}`, do what it plans, and commit it.",
        )
        raise ProblemsError([problem])
    record = read_record(text, subject=path.name)
    problems = clear_for(record, record.new_addresses, egress.accept_unread, datetime.now(UTC))
    if problems:
        raise ProblemsError(problems)
    return record
