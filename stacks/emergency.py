"""The emergency stack: more pod addresses for a cluster that has run out, with the smallest change that works.

A secondary CIDR, tagged subnets and their routes; the VPC CNI finds them by itself, and nothing restarts. Prefix
reservations, CNI settings and custom networking only where the stack file asks for them.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pulumi

from components.pod_subnets import IngressRule, PodSubnet, PodSubnets, PodSubnetsArgs, Route
from components.prefix_reservations import (
    PrefixReservations,
    PrefixReservationsArgs,
    ReservedSubnet,
    reservation_problems,
)
from components.secondary_cidr import SecondaryCidr, SecondaryCidrArgs
from headroom.addresses.association import CIDR_QUOTA, check_association
from headroom.addresses.blocks import Block, parse_blocks, read_blocks, usable_addresses
from headroom.addresses.problems import Problem, ProblemsError
from headroom.capacity.cni_version import CniVersion, check_cni_version
from headroom.capacity.settings import CniSettings as LiveSettings
from headroom.planning.emergency_keys import (
    CNI_FIELDS,
    CUSTOM_FIELDS,
    REQUIRED,
    RESERVATION_FIELDS,
    ROUTE_FIELDS,
    RULE_FIELDS,
    SUBNET_FIELDS,
    cluster_name_problem,
    id_problem,
    ignored_subnet_problem,
    own_tag_problems,
    zone_problem,
)
from stacks.adoption import Existing, Wanted, find_existing
from stacks.pods import pods_reader
from stacks.recorded import STACK_TAG, stack_tag
from stacks.settings import ConfigReader

# What needs the Kubernetes SDK is imported where it is asked for: most emergencies do without, and a preview is
# waited for.
if TYPE_CHECKING:
    from components.cni_settings import CniSettingsArgs

NAME = "pods"
"""Logical name of the stack's components, and with it of what they make: it never changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmergencySettings:
    """The stack's configuration, read and checked as far as it can be without asking the cloud."""

    vpc_id: str
    vpc_cidr_blocks: tuple[str, ...]
    secondary: Mapping[str, Any]
    subnets: Mapping[str, PodSubnet]
    pod_subnets: Mapping[str, Any]
    ingress_rules: Mapping[str, IngressRule]
    reservations: Mapping[str, Mapping[str, Any]]
    cni_settings: "CniSettingsArgs | None"
    custom_networking: Mapping[str, Any] | None
    kube_context: str


def deploy() -> None:
    """Declares the stack.

    Raises:
        ProblemsError: Everything that is wrong with the configuration; nothing was registered.
    """
    settings = read_settings(ConfigReader())
    cidrs = settings.secondary["cidr_blocks"]
    own = [cidr for cidr in settings.vpc_cidr_blocks if _holds_a_subnet(cidr, settings.subnets)]
    existing = find_existing(
        Wanted(
            name=NAME,
            vpc_id=settings.vpc_id,
            vpc_cidr_blocks=settings.vpc_cidr_blocks,
            cidrs=cidrs,
            subnets=settings.subnets,
            rules=settings.ingress_rules,
            rule_cidrs=list(dict.fromkeys([*cidrs, *own])),
            reservations={key: fields["reservations"] for key, fields in settings.reservations.items()},
        )
    )
    args = component_args(settings, existing)
    _warn(settings, existing)
    declare(settings, existing, *args)


def read_settings(config: ConfigReader) -> EmergencySettings:
    """Reads the configuration.

    Raises:
        ProblemsError: Every problem with its key.
    """
    vpc_id = config.required_text("vpcId", REQUIRED["vpcId"])
    cluster = config.required_text("clusterName", REQUIRED["clusterName"])
    cni_version = config.required_text("cniVersion", REQUIRED["cniVersion"])
    vpc_cidr_blocks = config.texts("vpcCidrBlocks")
    if not vpc_cidr_blocks and not config.problems_at("vpcCidrBlocks"):
        config.problem(
            "vpcCidrBlocks",
            "nothing",
            "is set.",
            "List the VPC's CIDRs, the primary first: `aws ec2 describe-vpcs --vpc-ids …`.",
        )
    if vpc_id:
        _check_id(config, "vpcId", "vpcId", vpc_id)
    named = cluster_name_problem("headroom:clusterName", cluster) if cluster else None
    config.problems.extend([named] if named else [])
    tags = config.text_mapping("tags", config.mapping("tags"))
    config.problems.extend(own_tag_problems("headroom:tags", tags))
    custom = config.mapping("customNetworking")
    custom_fields = config.fields("customNetworking", custom, CUSTOM_FIELDS)
    settings = EmergencySettings(
        vpc_id=vpc_id,
        vpc_cidr_blocks=tuple(vpc_cidr_blocks),
        secondary={
            "cidr_blocks": config.texts("secondaryCidrs"),
            "routes": config.texts("routeDestinations"),
            "peer_cidr_blocks": config.texts("peerCidrBlocks"),
            "direct_connect_cidr_blocks": config.texts("directConnectCidrBlocks"),
            "service_cidr": config.text("serviceCidr") or None,
            "quota": config.integer("cidrQuota", CIDR_QUOTA),
            "allow_family_mix": config.boolean("allowFamilyMix", default=False),
            "protect": config.boolean("protect", default=True),
        },
        subnets=_read_subnets(config),
        pod_subnets={
            "cluster": cluster,
            "cni_version": cni_version,
            "external_snat": config.boolean("externalSnat", default=False),
            "scope_to_cluster": config.boolean("scopeToCluster", default=True),
            "protect": config.boolean("protect", default=True),
            "accept_new_pods": config.boolean("acceptNewPods", default=True),
            "tags": tags,
        },
        ingress_rules=_read_rules(config),
        reservations=_read_reservations(config),
        cni_settings=read_cni_settings(config, cluster, cni_version, custom_networking=bool(custom)),
        custom_networking={
            "node_zones": config.text_list("customNetworking.nodeZones", custom_fields.get("nodeZones", [])),
            "security_group_ids": config.text_list(
                "customNetworking.securityGroupIds", custom_fields.get("securityGroupIds", [])
            ),
        }
        if custom
        else None,
        kube_context=config.text("kubeContext"),
    )
    for index, group in enumerate((settings.custom_networking or {}).get("security_group_ids", ())):
        _check_id(config, f"customNetworking.securityGroupIds[{index}]", "securityGroupIds", group)
    if custom and settings.cni_settings is None:
        config.problem(
            "customNetworking",
            "ENIConfigs",
            "have no effect alone.",
            "Add cniSettings (managedBy, and for the add-on addonVersion): the settings that go with them are added.",
        )
    config.refuse_other_keys("remedy")
    # What the components would refuse is asked here too, so that it comes in one answer with the rest.
    config.attempt(lambda: component_args(settings, Existing()))
    if config.problems:
        raise ProblemsError(without_consequences(config.problems), subject="configuration")
    return settings


_UNREADABLE = ("configuration", "cidr-host-bits", "cidr-prefix-length", "ipv4-address")
"""Rules of values that could not be read at all."""
_FOLLOW_FROM_THEIR_OWN = (
    "cni-version-format",
    "ingress-rule-ports",
    "managed-by",
    "no-existing-cidrs",
    "no-settings",
    "no-subnets",
    "pod-subnet-route",
)
"""Rules that a key breaks because what was written there, or below it, could not be read and was left out."""
_FOLLOW_FROM = {
    "pod-subnet-inside-vpc": ("headroom:secondaryCidrs", "headroom:vpcCidrBlocks"),
    "zone-without-eniconfig": ("headroom:podSubnets",),
}
"""Rules that a key breaks because another one could not be read."""


def without_consequences(problems: list[Problem]) -> list[Problem]:
    """Leaves out repeats, and what nobody would be told had another value been readable."""
    unreadable = [problem.key for problem in problems if problem.rule in _UNREADABLE]

    def follows(problem: Problem) -> bool:
        own = problem.rule in _FOLLOW_FROM_THEIR_OWN
        causes = (problem.key,) if own else _FOLLOW_FROM.get(problem.rule, ())
        return any(key == cause or key.startswith((f"{cause}.", f"{cause}[")) for cause in causes for key in unreadable)

    kept = [_with_hint(problem) for problem in problems if not follows(problem)]
    return list({(problem.key, problem.rule, problem.message): problem for problem in kept}.values())


_NUMBER = re.compile(r"'[0-9]+(?:\.[0-9]+)?'")


def _with_hint(problem: Problem) -> Problem:
    """Says of a version that is a number what has become of it: YAML drops the zero of 1.20, and nobody sees it."""
    if problem.rule != "cni-version-format" or not _NUMBER.fullmatch(problem.value):
        return problem
    hint = "Put it in quotes: without them YAML reads a number, and 1.20 becomes 1.2."
    return replace(problem, next_step=f"{problem.next_step} {hint}")


def _check_id(config: ConfigReader, place: str, name: str, value: str) -> None:
    """Adds a problem where `value`, found at `place`, is no id of the kind that the key `name` takes."""
    found = id_problem(f"headroom:{place}", name, value)
    config.problems.extend([found] if found else [])


def _check_zone(config: ConfigReader, place: str, zone: str, *, is_key: bool) -> None:
    """Adds a problem where `zone`, found at `place`, is no availability zone, or one of another Region."""
    found = zone_problem(f"headroom:{place}", zone, pulumi.Config("aws").get("region"), is_key=is_key)
    config.problems.extend([found] if found else [])


def _read_subnets(config: ConfigReader) -> dict[str, PodSubnet]:
    subnets: dict[str, PodSubnet] = {}
    for key, fields in config.entries("podSubnets", SUBNET_FIELDS).items():
        place = f"podSubnets.{key}"
        zone = config.field(place, fields, "zone", str, key)
        if not config.problems_at(f"{place}.zone"):
            _check_zone(config, f"{place}.zone" if "zone" in fields else place, zone, is_key="zone" not in fields)
        for name in ("routeTableId", "networkAclId"):
            id_ = config.field(place, fields, name, str, "")
            if id_:
                _check_id(config, f"{place}.{name}", name, id_)
        cidr_block = config.field(place, fields, "cidrBlock", str, "")
        if not cidr_block:
            if not config.problems_at(f"{place}.cidrBlock"):
                config.problem(
                    f"{place}.cidrBlock", "nothing", "is set.", "`headroom calc layout` prints blocks that are free."
                )
            continue
        subnets[key] = PodSubnet(
            zone=zone,
            cidr_block=cidr_block,
            route_table_id=config.field(place, fields, "routeTableId", str, "") or None,
            routes=_read_routes(config, place, fields["routes"]) if "routes" in fields else None,
            network_acl_id=config.field(place, fields, "networkAclId", str, "") or None,
        )
    return subnets


def _read_routes(config: ConfigReader, place: str, value: object) -> list[Route]:
    if not isinstance(value, dict):
        config.problem(
            f"{place}.routes", str(value), "is not a mapping.", 'Write "0.0.0.0/0": {natGatewayId: nat-…}, or {}.'
        )
        return []
    routes: list[Route] = []
    for destination, target in value.items():
        where = f"{place}.routes.{destination}"
        fields = config.fields(where, target, tuple(ROUTE_FIELDS))
        named = [name for name in fields if name in ROUTE_FIELDS]
        if len(named) == 1:
            target_id = config.field(where, fields, named[0], str, "")
            if not config.problems_at(f"{where}.{named[0]}"):
                _check_id(config, f"{where}.{named[0]}", named[0], target_id)
            routes.append(Route(destination=destination, target=ROUTE_FIELDS[named[0]], target_id=target_id))
        elif not config.problems_at(where):
            config.problem(
                where, f"{len(named)} targets", "is not one target.", f"Write one of {', '.join(ROUTE_FIELDS)}."
            )
    return routes


def _read_rules(config: ConfigReader) -> dict[str, IngressRule]:
    rules: dict[str, IngressRule] = {}
    for name, fields in config.entries("ingressRules", RULE_FIELDS).items():
        place = f"ingressRules.{name}"
        group = config.field(place, fields, "securityGroupId", str, "")
        if not group and not config.problems_at(f"{place}.securityGroupId"):
            config.problem(f"{place}.securityGroupId", "nothing", "is set.", "Name the group whose rules name CIDRs.")
        if group:
            _check_id(config, f"{place}.securityGroupId", "securityGroupId", group)
        rules[name] = IngressRule(
            security_group_id=group,
            protocol=config.field(place, fields, "protocol", str, "-1"),
            from_port=config.field(place, fields, "fromPort", int, 0) if "fromPort" in fields else None,
            to_port=config.field(place, fields, "toPort", int, 0) if "toPort" in fields else None,
            description=config.field(place, fields, "description", str, "Pods in added CIDRs"),
        )
    return rules


def _read_reservations(config: ConfigReader) -> dict[str, Mapping[str, Any]]:
    reservations: dict[str, Mapping[str, Any]] = {}
    for key, fields in config.entries("prefixReservations", RESERVATION_FIELDS).items():
        place = f"prefixReservations.{key}"
        reservations[key] = {
            "reservations": config.text_list(f"{place}.cidrBlocks", fields.get("cidrBlocks", [])),
            "primary_addresses": config.field(place, fields, "primaryAddresses", int, 0),
        }
        if "primaryAddresses" not in fields:
            config.problem(
                f"{place}.primaryAddresses",
                "nothing",
                "is set.",
                "Write how many network interfaces the subnet will hold: each needs an address outside.",
            )
    return reservations


def read_cni_settings(
    config: ConfigReader, cluster: str, cni_version: str, *, custom_networking: bool
) -> "CniSettingsArgs | None":
    """Reads `cniSettings`; None where there are none, or where they could not be read."""
    value = config.mapping("cniSettings")
    if not value:
        return None
    from components.cni_settings import CniSettingsArgs  # noqa: PLC0415 - see above
    from components.custom_networking import SETTINGS  # noqa: PLC0415

    place = "cniSettings"
    fields = config.fields(place, value, CNI_FIELDS)
    settings = config.text_mapping(f"{place}.settings", fields.get("settings", {}))
    managed_by: Any = config.field(place, fields, "managedBy", str, "")
    return config.attempt(
        lambda: CniSettingsArgs(
            cluster=cluster,
            managed_by=managed_by,
            settings={**(SETTINGS if custom_networking else {}), **settings},
            cni_version=cni_version,
            live_environment=config.text_mapping(f"{place}.liveEnvironment", fields.get("liveEnvironment", {})),
            live_configuration=config.field(place, fields, "liveConfiguration", str, "") or None,
            configuration_schema=config.field(place, fields, "configurationSchema", str, "") or None,
            addon_version=config.field(place, fields, "addonVersion", str, "") or None,
            service_account_role_arn=config.field(place, fields, "serviceAccountRoleArn", str, "") or None,
            nitro=config.field(place, fields, "nitro", bool, default=True),
            network_policy=config.field(place, fields, "networkPolicy", bool, default=False),
            force=config.field(place, fields, "force", bool, default=False),
        ),
        keyed=_cni_problem,
    )


_CNI_KEYS = {
    "managed_by": "managedBy",
    "settings": "settings",
    "addon_version": "addonVersion",
    "live_configuration": "liveConfiguration",
    "configuration_schema": "configurationSchema",
}


def _cni_problem(problem: Problem) -> Problem:
    if not problem.key:
        return replace(problem, key="headroom:cniVersion")
    return replace(problem, key=f"headroom:cniSettings.{_CNI_KEYS.get(problem.key, f'settings.{problem.key}')}")


def component_args(settings: EmergencySettings, existing: Existing) -> tuple[SecondaryCidrArgs | None, PodSubnetsArgs]:
    """The arguments of the components, checked against the configuration and what the VPC has now.

    Raises:
        ProblemsError: Every problem of every component.
    """
    problems: list[Problem] = []
    candidates: list[str] = settings.secondary["cidr_blocks"]
    associated = list(dict.fromkeys([*settings.vpc_cidr_blocks, *existing.associated]))
    secondary: SecondaryCidrArgs | None = None
    try:
        secondary = (
            SecondaryCidrArgs(
                vpc_id=settings.vpc_id,
                existing_cidr_blocks=associated,
                # An association that the state has is not imported: only `new_cidrs` can lack one.
                adopt={cidr: existing.associated[cidr] for cidr in existing.new_cidrs if cidr in existing.associated},
                **settings.secondary,
            )
            if candidates
            else None
        )
    except ProblemsError as error:
        problems.extend(_keyed(problem, _SECONDARY_KEYS, "secondaryCidrs") for problem in error.problems)
    # The plain ids stand in for the component's outputs, which exist only once it is declared.
    vpc_ids: dict[str, pulumi.Input[str]] = dict.fromkeys([*candidates, *associated], settings.vpc_id)
    pod_subnets: PodSubnetsArgs | None = None
    try:
        pod_subnets = PodSubnetsArgs(
            vpc_ids=vpc_ids,
            subnets=settings.subnets,
            ingress_rules=settings.ingress_rules,
            adopt=existing.resources,
            pods_by_address=pods_reader(settings.kube_context),
            **{**settings.pod_subnets, "tags": {**settings.pod_subnets["tags"], STACK_TAG: stack_tag()}},
        )
    except ProblemsError as error:
        # The CIDRs around the subnets have been judged above, where there are any to associate.
        problems.extend(
            _keyed(problem, _POD_SUBNET_KEYS, "cniVersion")
            for problem in error.problems
            if problem.key != "vpc_ids" or not candidates
        )
    problems.extend(_local_route_problems(settings, vpc_ids))
    problems.extend(_reservation_problems(settings))
    problems.extend(_custom_networking_problems(settings))
    if problems or pod_subnets is None:
        raise ProblemsError(problems, subject="configuration")
    return secondary, pod_subnets


_SECONDARY_KEYS = {
    "cidr_blocks": "secondaryCidrs",
    "existing_cidr_blocks": "vpcCidrBlocks",
    "routes": "routeDestinations",
    "peer_cidr_blocks": "peerCidrBlocks",
    "direct_connect_cidr_blocks": "directConnectCidrBlocks",
    "service_cidr": "serviceCidr",
}
_POD_SUBNET_KEYS = {
    "vpc_ids": "vpcCidrBlocks",
    "subnets": "podSubnets",
    "tags": "tags",
    "ingress_rules": "ingressRules",
}


_ARGUMENT = re.compile(r"[a-z_A-Z]+")


def _keyed(problem: Problem, keys: Mapping[str, str], otherwise: str) -> Problem:
    """The problem of a component's argument, under the configuration key that it came from."""
    found = _ARGUMENT.match(problem.key)
    name = found[0] if found else ""
    key = keys.get(name, name or otherwise)
    return replace(problem, key=f"headroom:{key}{problem.key.removeprefix(name)}")


def _local_route_problems(settings: EmergencySettings, vpc_cidr_blocks: Iterable[str]) -> Iterator[Problem]:
    """Routes into the VPC itself. What cannot be read is told elsewhere."""
    unreadable: list[Problem] = []
    inside = read_blocks(vpc_cidr_blocks, key="", problems=unreadable)
    for key, subnet in settings.subnets.items():
        for route in subnet.routes or ():
            for destination in read_blocks([route.destination], key="", problems=unreadable):
                around = next((block for block in inside if block.contains(destination)), None)
                if around is not None:
                    yield Problem(
                        rule="route-inside-vpc",
                        key=f"headroom:podSubnets.{key}.routes.{route.destination}",
                        value=route.destination,
                        reason=f"{'is' if around == destination else 'lies in'} {around} of the VPC: local already "
                        "routes it.",
                        next_step="Leave the route out.",
                        source="VPC user guide, VPC_Route_Tables",
                    )


def _reservation_problems(settings: EmergencySettings) -> list[Problem]:
    found: list[Problem] = []
    for key, fields in settings.reservations.items():
        subnet = settings.subnets.get(key)
        if subnet is None:
            found.append(
                Problem(
                    rule="configuration",
                    key=f"headroom:prefixReservations.{key}",
                    value=key,
                    reason="is no key of podSubnets.",
                    next_step=f"Write one of {', '.join(settings.subnets)}.",
                )
            )
            continue
        reserved = ReservedSubnet(subnet_id="", cidr_block=subnet.cidr_block, **fields)
        found.extend(_keyed(problem, {}, "prefixReservations") for problem in reservation_problems(key, reserved))
    return found


def _custom_networking_problems(settings: EmergencySettings) -> list[Problem]:
    """What the ENIConfigs would be refused for, asked before anything is registered."""
    if settings.custom_networking is None:
        return list(_ignored_subnets(settings))
    if not settings.subnets:
        return []
    from components.custom_networking import CustomNetworkingArgs  # noqa: PLC0415 - see above

    by_zone: dict[str, str] = {}
    found: list[Problem] = []
    for key, subnet in settings.subnets.items():
        if subnet.zone in by_zone:
            found.append(
                Problem(
                    rule="one-eniconfig-a-zone",
                    key=f"headroom:podSubnets.{key}",
                    value=subnet.zone,
                    reason=f"has an ENIConfig for {by_zone[subnet.zone]} already, and custom networking takes one "
                    "subnet a zone.",
                    next_step="Keep one, large enough for the zone, or leave customNetworking out.",
                    source="EKS user guide, cni-custom-network",
                )
            )
        by_zone.setdefault(subnet.zone, key)
    try:
        # The CIDRs stand in for the ids, which exist only once the subnets are declared.
        CustomNetworkingArgs(
            subnet_ids={subnet.zone: subnet.cidr_block for subnet in settings.subnets.values()},
            **settings.custom_networking,
        )
    except ProblemsError as error:
        found.extend(_keyed(problem, _CUSTOM_NETWORKING_KEYS, "customNetworking") for problem in error.problems)
    return found


def _ignored_subnets(settings: EmergencySettings) -> Iterator[Problem]:
    """Pod subnets that no ENIConfig names, where aws-node takes its subnets from those alone."""
    cni = settings.cni_settings
    if cni is None or not settings.pod_subnets["accept_new_pods"]:
        return
    if LiveSettings.from_environment({**cni.live_environment, **cni.settings}).custom_networking:
        for key in settings.subnets:
            yield ignored_subnet_problem(f"headroom:podSubnets.{key}", key)


_CUSTOM_NETWORKING_KEYS = {
    # A zone that lacks a subnet is known by the zones that have nodes.
    "subnet_ids": "customNetworking.nodeZones",
    "security_group_ids": "customNetworking.securityGroupIds",
}


def declare(
    settings: EmergencySettings,
    existing: Existing,
    secondary_args: SecondaryCidrArgs | None,
    pod_subnets_args: PodSubnetsArgs,
) -> None:
    """Registers the components and the stack's outputs."""
    vpc_ids = dict(pod_subnets_args.vpc_ids)
    if secondary_args is not None:
        secondary = SecondaryCidr(NAME, secondary_args)
        vpc_ids.update(secondary.vpc_ids)
    used = {
        cidr: vpc_id
        for cidr, vpc_id in vpc_ids.items()
        if cidr in settings.secondary["cidr_blocks"] or _holds_a_subnet(cidr, settings.subnets)
    }
    pod_subnets = PodSubnets(
        NAME,
        replace(
            pod_subnets_args,
            vpc_ids=used,
            dependents=lambda subnet_ids, guard: _declare_dependents(settings, existing, subnet_ids, guard),
        ),
    )
    _export(settings, pod_subnets)


def _declare_dependents(
    settings: EmergencySettings,
    existing: Existing,
    subnet_ids: Mapping[str, pulumi.Output[str]],
    guard: pulumi.ResourceHookBinding,
) -> list[pulumi.Resource]:
    """Registers what hangs on the subnets."""
    made: list[pulumi.Resource] = []
    if settings.reservations:
        made.append(
            PrefixReservations(
                NAME,
                PrefixReservationsArgs(
                    subnets={
                        key: ReservedSubnet(
                            subnet_id=subnet_ids[key], cidr_block=settings.subnets[key].cidr_block, **fields
                        )
                        for key, fields in settings.reservations.items()
                    },
                    adopt=existing.reservations,
                ),
            )
        )
    networking: list[pulumi.Resource] = []
    if settings.custom_networking is not None:
        from components.custom_networking import CustomNetworking, CustomNetworkingArgs  # noqa: PLC0415

        networking.append(
            CustomNetworking(
                NAME,
                CustomNetworkingArgs(
                    subnet_ids={subnet.zone: subnet_ids[key] for key, subnet in settings.subnets.items()},
                    guard=guard,
                    **settings.custom_networking,
                ),
            )
        )
    made.extend(networking)
    if settings.cni_settings is not None:
        from components.cni_settings import CniSettings  # noqa: PLC0415

        # The settings send the CNI to the ENIConfigs, so those come first.
        made.append(CniSettings("cni", settings.cni_settings, pulumi.ResourceOptions(depends_on=networking)))
    return made


def _holds_a_subnet(cidr: str, subnets: Mapping[str, PodSubnet]) -> bool:
    block = Block.parse(cidr)
    return any(block.contains(Block.parse(subnet.cidr_block)) for subnet in subnets.values())


def _warn(settings: EmergencySettings, existing: Existing) -> None:
    """Says what to know; of a CIDR only until it is associated, so that later previews are quiet."""
    _, warnings = check_cni_version(CniVersion.parse(settings.pod_subnets["cni_version"]))
    associated = [
        block for block in parse_blocks(settings.vpc_cidr_blocks) if str(block) not in settings.secondary["cidr_blocks"]
    ]
    for candidate in existing.new_cidrs:
        warnings += check_association(associated, candidate).warnings
    if settings.cni_settings is not None:
        warnings += tuple(settings.cni_settings.check()[1])
    for warning in warnings:
        pulumi.log.warn(str(warning))


def _export(settings: EmergencySettings, pod_subnets: PodSubnets) -> None:
    subnets = {
        key: {
            "subnetId": pod_subnets.subnet_ids[key],
            "zone": subnet.zone,
            "cidrBlock": subnet.cidr_block,
            "usableAddresses": usable_addresses(Block.parse(subnet.cidr_block)),
            "routeTableId": pod_subnets.route_table_ids[key],
        }
        for key, subnet in settings.subnets.items()
    }
    added = sum(usable_addresses(Block.parse(subnet.cidr_block)) for subnet in settings.subnets.values())
    pulumi.export("vpcId", settings.vpc_id)
    pulumi.export("associatedCidrBlocks", settings.secondary["cidr_blocks"])
    pulumi.export("podSubnets", subnets)
    pulumi.export("usableAddressesAdded", added)
    pulumi.export("restarts", "aws-node rolls" if settings.cni_settings is not None else "none")
    pulumi.export("next", _next_steps(settings))


def _next_steps(settings: EmergencySettings) -> list[str]:
    if not settings.pod_subnets["accept_new_pods"]:
        return [
            "kubectl get pods -A -o wide  # move the pods whose address lies in these subnets",
            "pulumi destroy --run-program  # refused until no network interface is left",
        ]
    return [
        "kubectl get events -A --field-selector reason=FailedCreatePodSandBox --watch  # stops within about 3 minutes",
        (
            f"aws ec2 describe-network-interfaces --filters Name=vpc-id,Values={settings.vpc_id} "
            "Name=description,Values='aws-K8S-*'  # new interfaces appear in the new subnets"
        ),
        "kubectl exec/logs into pods in the new CIDR may fail for up to an hour, until EKS has learnt it",
    ]
