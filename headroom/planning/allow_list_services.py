"""Which resources of Azure have lists of addresses, where the lists stand, and how an address gets on them.

One row a resource type (`SERVICES`). Resource Graph knows the resources themselves and no child of them: firewall
rules of databases and networks of namespaces are in none of its tables (Azure Resource Graph documentation,
supported-tables-resources), so that children are asked of Azure Resource Manager, resource by resource. Versions and
property names are those of the Azure REST API specifications (azure-rest-api-specs).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from shlex import quote
from typing import Any, Final

from headroom.addresses.azure import AUTHORIZED_RANGES
from headroom.facts.azure import resource_name
from headroom.planning.allow_lists import (
    Adder,
    Addition,
    AllowList,
    Entry,
    Request,
    Span,
    database_rule,
    source,
)

Object = Mapping[str, Any]

RULE_NAME: Final = "headroom-egress"
"""Name of the rules that the plan adds; a number follows."""
MANAGED_INSTANCE_PORT: Final = 3342
"""Port of a managed instance's public endpoint (Azure SQL documentation, public-endpoint-configure)."""
SAME_REGION: Final = (
    "IP rules do nothing for callers of the account's own region, which come with private addresses: allow the subnet "
    "or use a private endpoint"
)
"""Azure Storage documentation, storage-network-security-limitations."""
PUBLIC_OFF: Final = (
    "its public endpoint is off: only private addresses reach it, which a NAT gateway leaves as they are"
)
PRIVATE_ENDPOINTS: Final = "privateEndpointConnections"
"""The property that names a resource's private endpoints, the same for all types that can have some."""
PRIVATE_TOO: Final = (
    "has a private endpoint, whose callers show private addresses: this list does not decide about them"
)
_SMALL: Final = 31
"""Storage takes neither /31 nor /32 (Azure Storage documentation, storage-network-security-limitations)."""

SQL: Final = "Microsoft.Sql/servers"
INSTANCE: Final = "Microsoft.Sql/managedInstances"
NSG: Final = "Microsoft.Network/networkSecurityGroups"
IP_GROUP: Final = "Microsoft.Network/ipGroups"
CLUSTER: Final = "Microsoft.ContainerService/managedClusters"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """A resource as Azure shows it.

    Attributes:
        item: The resource: id, name, type, location, properties, tags, sku.
        children: Its children that carry the lists; None where the type needs none.
        unread: Why they could not be read, denied, throttled or otherwise; empty where they were.
    """

    item: Object
    children: tuple[Object, ...] | None = None
    unread: str = ""

    @property
    def id(self) -> str:
        """Its ARM id."""
        return str(self.item["id"])

    @property
    def properties(self) -> Object:
        """Its properties."""
        found = self.item.get("properties")
        return found if isinstance(found, Mapping) else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a list says only together with other resources.

    Attributes:
        groups: IP groups by their ARM id in small letters.
        security_groups: Network security groups by the ARM id of each of their subnets in small letters.
    """

    groups: Mapping[str, Sequence[str]]
    security_groups: Mapping[str, Object]


Reader = Callable[["Service", Parent, Context], Iterator[AllowList]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A resource type that has lists, or whose children are.

    Attributes:
        type: Its ARM type.
        label: What it is called.
        api_version: Version of the API with which it is listed and changed.
        columns: The properties that its lists need, as paths.
        children: The child that carries the lists, as a path below the resource; empty where it does itself.
        single: The child is one resource, not a list.
        children_version: Version of the API of the children; empty: that of the resource.
        read: Makes its lists.
        source: The document that the rules come from.
    """

    type: str
    label: str
    api_version: str
    columns: tuple[str, ...]
    read: Reader
    children: str = ""
    single: bool = False
    children_version: str = ""
    source: str

    @property
    def actions(self) -> tuple[str, ...]:
        """What a role has to allow: the resource, and its children."""
        own = (f"{self.type}/read",)
        return (*own, f"{self.type}/{_CHILD_ACTIONS.get(self.children, self.children)}/read") if self.children else own

    @property
    def version_of_children(self) -> str:
        """Version of the API of the children."""
        return self.children_version or self.api_version


_CHILD_ACTIONS: Final = {"config/web": "config"}
"""Where the action is not called as the child's path (Azure RBAC, permissions of resource providers)."""


def lists_of(service: Service, parent: Parent, context: Context) -> tuple[AllowList, ...]:
    """The lists of a resource; one that could not be read stands for all of them."""
    if parent.unread:
        place = service.children or "rules"
        return (_list(service, parent, place, unknown=parent.unread),)
    try:
        note = PRIVATE_TOO if _private_endpoint(parent.properties) else ""
        return tuple(replace(each, note=note) for each in service.read(service, parent, context))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        return (_list(service, parent, "rules", unknown=f"the answer has another form: {type(error).__name__}"),)


def _private_endpoint(properties: Object) -> bool:
    """Whether a private endpoint is approved."""
    found = properties.get(PRIVATE_ENDPOINTS) or ()
    states = ((each.get("properties") or {}).get("privateLinkServiceConnectionState") or {} for each in found)
    return any(str(state.get("status") or "").casefold() == "approved" for state in states)


def context_of(parents: Mapping[str, Iterable[Parent]]) -> Context:
    """What lists need to know of IP groups and network security groups."""
    groups: dict[str, Sequence[str]] = {}
    security: dict[str, Object] = {}
    for parent in parents.get(IP_GROUP, ()):
        groups[parent.id.casefold()] = tuple(str(each) for each in parent.properties.get("ipAddresses") or ())
    for parent in parents.get(NSG, ()):
        for subnet in parent.properties.get("subnets") or ():
            security[str(subnet.get("id", "")).casefold()] = parent.item
    return Context(groups=groups, security_groups=security)


def _list(service: Service, parent: Parent, place: str, **values: Any) -> AllowList:
    location = str(parent.item.get("location") or "")
    return AllowList(type=service.type, resource_id=parent.id, place=place, location=location, **values)


def _texts(spans: Sequence[Span]) -> tuple[str, ...]:
    return tuple(span.text for span in spans)


def _cidrs(spans: Sequence[Span]) -> tuple[str, ...]:
    return tuple(cidr for span in spans for cidr in span.cidrs)


def _names(taken: Iterable[str], count: int, mark: str = "-") -> list[str]:
    """Names for further rules that nobody has yet; `mark` stands for the hyphen."""
    used = {name.casefold() for name in taken}
    free = (f"{RULE_NAME}-{number}".replace("-", mark) for number in range(1, len(used) + count + 1))
    return [name for name in free if name.casefold() not in used][:count]


def _switched_off(properties: Object) -> str:
    """Why nobody from outside is asked for his address: the public endpoint is off."""
    state = str(properties.get("publicNetworkAccess") or "").casefold()
    return PUBLIC_OFF if state == "disabled" else ""


def _perimeter(properties: Object) -> str:
    """Why the list alone says nothing: a network security perimeter decides instead."""
    state = str(properties.get("publicNetworkAccess") or "").casefold()
    return "a network security perimeter decides, which is not read" if state == "securedbyperimeter" else ""


# Databases: rules from an address to an address, as children.


def _database(  # noqa: PLR0913 - one argument for each way in which databases differ
    service: Service,
    parent: Parent,
    context: Context,
    *,
    start: str = "startIpAddress",
    end: str = "endIpAddress",
    network: str = "",
    mark: str = "-",
    empty_is_open: bool = False,
) -> Iterator[AllowList]:
    del context
    children = parent.children or ()
    properties = parent.properties
    access = (properties.get(network) or {}) if network else properties
    entries = []
    for child in children:
        # A list of children shows Redis's rules as cache/rule.
        name = str(child.get("name") or "").rpartition("/")[2]
        entries.append(database_rule(str(child["properties"][start]), str(child["properties"][end]), name=name))

    def add(spans: Sequence[Span]) -> Addition:
        named = list(zip(_names((entry.name for entry in entries), len(spans), mark), spans, strict=True))
        return Addition(
            entries=tuple(f"{name}: {span.text}" for name, span in named),
            requests=tuple(
                Request(
                    method="PUT",
                    path=f"{parent.id}/{service.children}/{name}",
                    api_version=service.version_of_children,
                    body={"properties": {start: span.start, end: span.end}},
                )
                for name, span in named
            ),
        )

    delegated = (
        "it is in a VNet of its own, without a public endpoint" if access.get("delegatedSubnetResourceId") else ""
    )
    yield _list(
        service,
        parent,
        service.children,
        entries=tuple(entries),
        default_allow=empty_is_open and not entries,
        no_effect=delegated or _switched_off(access),
        unknown=_perimeter(access),
        add=add,
    )


def _instance(service: Service, parent: Parent, context: Context) -> Iterator[AllowList]:
    """A managed instance has no list: the security group of its subnet is it, for its public endpoint."""
    place = f"security group of its subnet, port {MANAGED_INSTANCE_PORT}"
    if parent.properties.get("publicDataEndpointEnabled") is not True:
        off = "a managed instance has no list of addresses, and its public endpoint is off"
        yield _list(service, parent, place, no_effect=off)
        return
    group = context.security_groups.get(str(parent.properties.get("subnetId") or "").casefold())
    if group is None:
        unknown = "its public endpoint is on, and the security group of its subnet was not found"
        yield _list(service, parent, place, unknown=unknown)
        return
    flow = _Flow(protocol="Tcp", destinations=("*",), ports=((MANAGED_INSTANCE_PORT, MANAGED_INSTANCE_PORT),))
    entries = tuple(entry for rule in _rules(group) for entry in _decides(rule, flow))
    by_hand = f"on the network security group {resource_name(str(group['id']))}, whose rules are in this plan"
    yield _list(
        service,
        parent,
        place,
        entries=entries,
        add=lambda spans: Addition(entries=_texts(spans), by_hand=by_hand),
    )


# Lists in the resource's own properties.


@dataclass(frozen=True, slots=True, kw_only=True)
class _Inline:
    """Where a list stands in the properties, and how it decides.

    Attributes:
        holder: The property that a change sends as a whole; empty where the list itself is one.
        rules: The list within it.
        value: The address within a rule; empty where a rule is the address itself.
        action: Whether a rule says `action: Allow`.
        default: What decides about others within the holder; empty: nobody else gets in, once there is a rule.
        subnets: The list of subnets within the holder, whose entries have `id`, or `subnet.id`.
        small: Whether /31 and /32 are refused.
        same_region: Why callers of the resource's own region are not asked.
    """

    holder: str = ""
    rules: str
    value: str = "value"
    action: bool = False
    default: str = ""
    subnets: str = ""
    small: bool = True
    same_region: str = ""


def _inline(service: Service, parent: Parent, context: Context, *, form: _Inline) -> Iterator[AllowList]:
    del context
    yield _inline_list(service, parent, parent.properties, form)


def _inline_list(service: Service, parent: Parent, properties: Object, form: _Inline, path: str = "") -> AllowList:
    """A list as `form` describes it; `path` is that of the child that has it, if one does."""
    holder: Object = (properties.get(form.holder) or {}) if form.holder else properties
    rules = tuple(holder.get(form.rules) or ())
    entries = tuple(_inline_entry(rule, form, place) for place, rule in enumerate(rules))
    if form.default:
        default = str(holder.get(form.default) or "Allow").casefold() == "allow"
    else:
        default = not rules and not holder.get(form.subnets) and not properties.get("isVirtualNetworkFilterEnabled")
    subnets = (rule.get("id") or (rule.get("subnet") or {}).get("id") for rule in holder.get(form.subnets) or ())

    def add(spans: Sequence[Span]) -> Addition:
        texts = _texts(spans) if form.small else _large(spans)
        made = [_inline_rule(text, form) for text in texts]
        changed = {form.rules: [*rules, *made]}
        body = {form.holder: {**holder, **changed}} if form.holder else changed
        request = Request(
            method="PUT" if path else "PATCH",
            path=path or parent.id,
            api_version=service.version_of_children if path else service.api_version,
            body={"properties": {**_writable(holder), **changed} if path else body},
        )
        return Addition(entries=texts, requests=(request,))

    return _list(
        service,
        parent,
        ".".join(part for part in (form.holder, form.rules) if part),
        entries=() if form.default and default else entries,
        default_allow=default,
        no_effect=_switched_off(properties) or (_switched_off(parent.properties) if path else ""),
        same_region=form.same_region,
        subnets=frozenset(str(each).casefold() for each in subnets if each),
        unknown=_perimeter(properties),
        add=add,
    )


def _inline_entry(rule: Any, form: _Inline, place: int) -> Entry:
    if not form.value:
        return source(str(rule))
    text = str(rule[form.value])
    if form.rules == "ipRules" and text == "0.0.0.0":  # noqa: S104 - a rule of Azure's, no address to listen on
        # Azure Cosmos DB documentation, how-to-configure-firewall: it stands for Azure's datacenters.
        return database_rule(text, text)
    allow = str(rule.get("action") or "Allow").casefold() == "allow"
    return source(text, allow=allow, priority=place if not allow else 0)


def _inline_rule(text: str, form: _Inline) -> Any:
    if not form.value:
        return text
    return {form.value: text, "action": "Allow"} if form.action else {form.value: text}


def _large(spans: Sequence[Span]) -> tuple[str, ...]:
    """As Azure Storage takes them: prefixes up to /30, and single addresses for what is smaller."""
    found: list[str] = []
    for span in spans:
        for cidr in span.cidrs:
            if int(cidr.rpartition("/")[2]) >= _SMALL:
                part = Span.parse(cidr)
                found += [Span(part.version, one, one).start for one in range(part.first, part.last + 1)]
            else:
                found.append(cidr)
    return tuple(found)


_READ_ONLY: Final = frozenset({"provisioningState", "resourceState", "etag", "size", "resourceGuid"})


def _writable(properties: Object) -> dict[str, Any]:
    return {name: value for name, value in properties.items() if name not in _READ_ONLY}


def _namespace(service: Service, parent: Parent, context: Context) -> Iterator[AllowList]:
    """A namespace's only set of rules, called default; the tier Basic has none and lets everybody in."""
    del context
    form = _Inline(rules="ipRules", value="ipMask", action=True, default="defaultAction", subnets="virtualNetworkRules")
    sets = parent.children or ({"properties": {}},)
    for child in sets:
        path = f"{parent.id}/{service.children}/default"
        yield _inline_list(service, parent, child.get("properties") or {}, form, path)


def _signalr(service: Service, parent: Parent, context: Context) -> Iterator[AllowList]:
    """Rules in their order, the first that fits decides; without rules everybody gets in."""
    del context
    holder: Object = parent.properties.get("networkACLs") or {}
    rules = tuple(holder.get("ipRules") or ())
    entries = tuple(
        source(str(rule["value"]), allow=str(rule.get("action") or "Allow").casefold() == "allow", priority=place)
        for place, rule in enumerate(rules)
    )

    def add(spans: Sequence[Span]) -> Addition:
        texts = _texts(spans)
        changed = {**holder, "ipRules": [*({"value": text, "action": "Allow"} for text in texts), *rules]}
        body = {"properties": {"networkACLs": changed}}
        request = Request(method="PATCH", path=parent.id, api_version=service.api_version, body=body)
        return Addition(entries=texts, requests=(request,))

    yield _list(
        service,
        parent,
        "networkACLs.ipRules",
        entries=entries,
        default_allow=not rules,
        no_effect=_switched_off(parent.properties),
        add=add,
    )


def _container_app(service: Service, parent: Parent, context: Context) -> Iterator[AllowList]:
    """Rules that all allow, or all deny; whoever is on none of them gets in only in the second case."""
    del context
    configuration: Object = parent.properties.get("configuration") or {}
    ingress: Object = configuration.get("ingress") or {}
    rules = tuple(ingress.get("ipSecurityRestrictions") or ())
    entries = tuple(
        source(
            str(rule["ipAddressRange"]),
            name=str(rule.get("name") or ""),
            allow=str(rule["action"]).casefold() == "allow",
        )
        for rule in rules
    )

    def add(spans: Sequence[Span]) -> Addition:
        cidrs = _cidrs(spans)
        named = zip(_names((entry.name for entry in entries), len(cidrs)), cidrs, strict=True)
        made = [{"name": name, "ipAddressRange": cidr, "action": "Allow"} for name, cidr in named]
        changed = {**ingress, "ipSecurityRestrictions": [*rules, *made]}
        body = {"properties": {"configuration": {"ingress": changed}}}
        request = Request(method="PATCH", path=parent.id, api_version=service.api_version, body=body)
        return Addition(entries=cidrs, requests=(request,))

    outside = bool(ingress.get("external"))
    yield _list(
        service,
        parent,
        "ingress.ipSecurityRestrictions",
        entries=entries,
        default_allow=not any(entry.allow for entry in entries),
        no_effect="" if outside else "it has no ingress from outside its environment",
        add=add,
    )


def _site(service: Service, parent: Parent, context: Context) -> Iterator[AllowList]:
    """A site and its deployment site: rules by priority, and a default where no rule fits."""
    del context
    for child in parent.children or ():
        config: Object = child["properties"]
        for rules, default, skipped in (
            ("ipSecurityRestrictions", "ipSecurityRestrictionsDefaultAction", False),
            (
                "scmIpSecurityRestrictions",
                "scmIpSecurityRestrictionsDefaultAction",
                bool(config.get("scmIpSecurityRestrictionsUseMain")),
            ),
        ):
            if not skipped:
                yield _site_list(service, parent, config, rules, default)


def _site_list(service: Service, parent: Parent, config: Object, name: str, default: str) -> AllowList:
    rules = tuple(config.get(name) or ())
    entries = tuple(entry for rule in rules for entry in _site_entries(rule))
    stated = str(config.get(default) or "").casefold()
    # Without a stated default, one rule that allows is enough to keep everybody else out (App Service documentation,
    # overview-access-restrictions).
    lets_in = stated == "allow" if stated else not any(entry.allow and not entry.wide for entry in entries)
    least = min((int(rule.get("priority") or 0) for rule in rules), default=0)

    def add(spans: Sequence[Span]) -> Addition:
        cidrs = _cidrs(spans)
        named = zip(_names((entry.name for entry in entries), len(cidrs)), cidrs, strict=True)
        priority = max(1, min(_SITE_PRIORITY, least))
        made = [
            {"name": each, "ipAddress": cidr, "action": "Allow", "priority": priority, "tag": "Default"}
            for each, cidr in named
        ]
        body = {"properties": {name: [*rules, *made]}}
        path = f"{parent.id}/{service.children}"
        request = Request(method="PATCH", path=path, api_version=service.version_of_children, body=body)
        return Addition(entries=cidrs, requests=(request,))

    subnets = frozenset(
        str(rule["vnetSubnetResourceId"]).casefold() for rule in rules if rule.get("vnetSubnetResourceId")
    )
    return _list(
        service,
        parent,
        name,
        entries=entries,
        default_allow=lets_in,
        no_effect=_switched_off(parent.properties) or _switched_off(config),
        subnets=subnets,
        add=add,
    )


_SITE_PRIORITY: Final = 100


def _site_entries(rule: Object) -> Iterator[Entry]:
    allow = str(rule.get("action") or "Allow").casefold() == "allow"
    for text in str(rule.get("ipAddress") or "").split(","):
        if text.strip():
            yield source(
                text.strip(), name=str(rule.get("name") or ""), allow=allow, priority=int(rule.get("priority") or 0)
            )


def _cluster(service: Service, parent: Parent, context: Context) -> Iterator[AllowList]:
    """The API server; its own cluster's nodes come through the list too, with whatever address they have."""
    del context
    access: Object = parent.properties.get("apiServerAccessProfile") or {}
    ranges = [str(each) for each in access.get("authorizedIPRanges") or ()]
    words = parent.id.strip("/").split("/")

    def add(spans: Sequence[Span]) -> Addition:
        every = list(dict.fromkeys((*ranges, *_cidrs(spans))))
        full = f"takes {AUTHORIZED_RANGES} ranges at most, and would have {len(every)}"
        return Addition(
            entries=_cidrs(spans),
            command=f"az aks update --subscription {quote(words[1])} --resource-group {quote(words[3])} "
            f"--name {quote(words[-1])} --api-server-authorized-ip-ranges {quote(','.join(every))}",
            refused=full if len(every) > AUTHORIZED_RANGES else "",
        )

    private = "it is a private cluster: its API server has a private address only"
    yield _list(
        service,
        parent,
        "apiServerAccessProfile.authorizedIPRanges",
        entries=tuple(source(each) for each in ranges),
        default_allow=not ranges,
        no_effect=private if access.get("enablePrivateCluster") else "",
        serves=parent.id,
        add=add,
    )


# Network security groups: a list a rule, decided together with the rules that come before it.


@dataclass(frozen=True, slots=True, kw_only=True)
class _Flow:
    """What a rule is about: protocol, destinations and destination ports."""

    protocol: str
    destinations: tuple[str, ...]
    ports: tuple[tuple[int, int], ...]


_ALL_PORTS: Final = ((0, 65535),)


def _rules(group: Object) -> list[Object]:
    properties: Object = group.get("properties") or {}
    rules = [
        rule
        for rule in properties.get("securityRules") or ()
        if str(rule["properties"]["direction"]).casefold() == "inbound"
    ]
    return sorted(rules, key=lambda rule: int(rule["properties"]["priority"]))


def _flow(rule: Object) -> _Flow:
    read: Object = rule["properties"]
    ports = _either(read, "destinationPortRange", "destinationPortRanges")
    return _Flow(
        protocol=str(read.get("protocol") or "*").casefold(),
        destinations=tuple(
            each.casefold() for each in _either(read, "destinationAddressPrefix", "destinationAddressPrefixes")
        ),
        ports=_ALL_PORTS if "*" in ports else tuple(_ports(each) for each in ports),
    )


def _ports(text: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    return int(first), int(last) if dash else int(first)


def _either(read: Object, one: str, several: str) -> tuple[str, ...]:
    found = tuple(str(each) for each in read.get(several) or ())
    return found or ((str(read[one]),) if read.get(one) else ("*",))


def _decides(rule: Object, flow: _Flow) -> Iterator[Entry]:
    """The sources of a rule that decides about a flow: one that allows all of it, or denies any of it."""
    own, allow = _flow(rule), str(rule["properties"]["access"]).casefold() == "allow"
    protocol = own.protocol in {"*", flow.protocol.casefold()} or (not allow and flow.protocol == "*")
    anywhere = "*" in own.destinations or "virtualnetwork" in own.destinations
    if allow:
        goes = anywhere or set(flow.destinations) <= set(own.destinations)
        ports = all(any(low <= first and last <= high for low, high in own.ports) for first, last in flow.ports)
    else:
        goes = anywhere or "*" in flow.destinations or bool(set(flow.destinations) & set(own.destinations))
        ports = any(low <= last and first <= high for low, high in own.ports for first, last in flow.ports)
    if protocol and goes and ports:
        yield from _sources(rule)


def _sources(rule: Object) -> Iterator[Entry]:
    read: Object = rule["properties"]
    if read.get("sourceApplicationSecurityGroups"):
        return  # they have private addresses
    for text in _either(read, "sourceAddressPrefix", "sourceAddressPrefixes"):
        yield source(
            text,
            name=str(rule.get("name") or ""),
            allow=str(read["access"]).casefold() == "allow",
            priority=int(read["priority"]),
        )


def _security_group(service: Service, parent: Parent, context: Context) -> Iterator[AllowList]:
    del context
    rules = _rules(parent.item)
    for rule in rules:
        entries = tuple(_sources(rule))
        if str(rule["properties"]["access"]).casefold() != "allow" or all(entry.wide for entry in entries):
            continue
        flow = _flow(rule)
        others = tuple(entry for other in rules if other is not rule for entry in _decides(other, flow))
        yield _list(
            service,
            parent,
            f"securityRules/{rule['name']}",
            entries=entries,
            others=others,
            add=partial(_add_to_security_rule, service, parent, rule),
        )


def _add_to_security_rule(service: Service, parent: Parent, rule: Object, spans: Sequence[Span]) -> Addition:
    read: Object = rule["properties"]
    every = [*_either(read, "sourceAddressPrefix", "sourceAddressPrefixes"), *_texts(spans)]
    body = {name: value for name, value in _writable(read).items() if name != "sourceAddressPrefix"}
    request = Request(
        method="PUT",
        path=f"{parent.id}/securityRules/{rule['name']}",
        api_version=service.api_version,
        body={"properties": {**body, "sourceAddressPrefixes": every}},
    )
    return Addition(entries=_texts(spans), requests=(request,))


# Firewalls and web application firewalls.


def _ip_group(service: Service, parent: Parent, context: Context) -> Iterator[AllowList]:
    del context
    every = [str(each) for each in parent.properties.get("ipAddresses") or ()]

    def add(spans: Sequence[Span]) -> Addition:
        body = {
            "location": parent.item.get("location"),
            "tags": parent.item.get("tags") or {},
            "properties": {"ipAddresses": [*every, *_texts(spans)]},
        }
        request = Request(method="PUT", path=parent.id, api_version=service.api_version, body=body)
        return Addition(entries=_texts(spans), requests=(request,))

    yield _list(service, parent, "ipAddresses", entries=tuple(source(each) for each in every), add=add)


def _collections(properties: Object) -> Iterator[tuple[str, Object, bool]]:
    """Rules of a rule collection group or of a firewall without a policy: collection, rule, whether it lets in."""
    for collection in properties.get("ruleCollections") or ():
        action = str((collection.get("action") or {}).get("type") or "Allow").casefold()
        for rule in collection.get("rules") or ():
            yield str(collection.get("name") or ""), rule, action != "deny"
    for kind in ("natRuleCollections", "networkRuleCollections", "applicationRuleCollections"):
        for collection in properties.get(kind) or ():
            inner: Object = collection.get("properties") or {}
            action = str((inner.get("action") or {}).get("type") or "Allow").casefold()
            for rule in inner.get("rules") or ():
                yield str(collection.get("name") or ""), rule, action != "deny"


def _firewall_lists(
    service: Service, parent: Parent, context: Context, properties: Object, path: str
) -> Iterator[AllowList]:
    prefix = f"{resource_name(path)}/" if path else ""
    for collection, rule, allows in _collections(properties):
        entries = tuple(source(str(each)) for each in rule.get("sourceAddresses") or ())
        if not allows or not entries or all(entry.wide for entry in entries):
            continue  # rules whose sources are IP groups alone are judged by their groups
        others: list[Entry] = []
        for group in rule.get("sourceIpGroups") or ():
            addresses = context.groups.get(str(group).casefold())
            others += (
                [Entry(text=str(group), unreadable=True)] if addresses is None else [source(each) for each in addresses]
            )
        name = str(rule.get("name") or "")
        yield _list(
            service,
            parent,
            f"{prefix}{collection}/{name}",
            entries=entries,
            others=tuple(others),
            add=partial(_add_to_firewall, service, properties, path, collection, name),
        )


def _add_to_firewall(  # noqa: PLR0913, PLR0917 - where the rule stands
    service: Service, properties: Object, path: str, collection: str, name: str, spans: Sequence[Span]
) -> Addition:
    texts = _texts(spans)
    if not path:
        return Addition(entries=texts, by_hand=f"as source addresses of the rule {name} in the collection {collection}")
    collections = [
        {**each, "rules": [_with_sources(rule, texts) if rule.get("name") == name else rule for rule in each["rules"]]}
        if each.get("name") == collection
        else each
        for each in properties.get("ruleCollections") or ()
    ]
    body = {"properties": {**_writable(properties), "ruleCollections": collections}}
    request = Request(method="PUT", path=path, api_version=service.version_of_children, body=body)
    return Addition(entries=texts, requests=(request,))


def _with_sources(rule: Object, texts: Sequence[str]) -> Object:
    return {**rule, "sourceAddresses": [*(rule.get("sourceAddresses") or ()), *texts]}


def _firewall_policy(service: Service, parent: Parent, context: Context) -> Iterator[AllowList]:
    for child in parent.children or ():
        yield from _firewall_lists(service, parent, context, child.get("properties") or {}, str(child["id"]))


def _firewall(service: Service, parent: Parent, context: Context) -> Iterator[AllowList]:
    yield from _firewall_lists(service, parent, context, parent.properties, "")


_ADDRESS_VARIABLES: Final = frozenset({"remoteaddr", "socketaddr"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Condition:
    """A condition on the caller's address in a custom rule of a web application firewall."""

    rule: str
    action: str
    place: int
    negated: bool
    values: tuple[str, ...]


def _front_door_conditions(properties: Object) -> Iterator[_Condition]:
    for rule in (properties.get("customRules") or {}).get("rules") or ():
        if str(rule.get("enabledState") or "Enabled").casefold() == "enabled":
            for place, each in enumerate(rule.get("matchConditions") or ()):
                if str(each["matchVariable"]).casefold() in _ADDRESS_VARIABLES:
                    negated, values = bool(each.get("negateCondition")), each.get("matchValue")
                    yield from _condition(rule, place, each, negated=negated, values=values)


def _gateway_conditions(properties: Object) -> Iterator[_Condition]:
    """As of Front Door, with names of their own; negationConditon is spelt so (azure-rest-api-specs)."""
    for rule in properties.get("customRules") or ():
        if str(rule.get("state") or "Enabled").casefold() == "enabled":
            for place, each in enumerate(rule.get("matchConditions") or ()):
                variables = {str(one["variableName"]).casefold() for one in each.get("matchVariables") or ()}
                if variables & _ADDRESS_VARIABLES:
                    negated, values = bool(each.get("negationConditon")), each.get("matchValues")
                    yield from _condition(rule, place, each, negated=negated, values=values)


def _condition(
    rule: Object, place: int, each: Object, *, negated: bool, values: Iterable[Any] | None
) -> Iterator[_Condition]:
    if str(each.get("operator") or "").casefold() == "ipmatch":
        yield _Condition(
            rule=str(rule["name"]),
            action=str(rule["action"]).casefold(),
            place=place,
            negated=negated,
            values=tuple(str(value) for value in values or ()),
        )


def _waf(
    service: Service,
    parent: Parent,
    context: Context,
    *,
    conditions: Callable[[Object], Iterator[_Condition]],
    by_hand: str = "",
) -> Iterator[AllowList]:
    """Custom rules of a web application firewall: those that let an address in, or keep others out."""
    del context
    for each in conditions(parent.properties):
        entries = tuple(source(value, name=each.rule) for value in each.values)
        blocks = each.action not in {"allow", "log"}
        add: Adder
        if (each.action == "allow" and not each.negated) or (blocks and each.negated):
            add = (
                partial(_by_hand, by_hand) if by_hand else partial(_add_to_waf, service, parent, each.rule, each.place)
            )
            yield _list(service, parent, f"customRules/{each.rule}", entries=entries, add=add)
        elif blocks:
            yield _list(
                service,
                parent,
                f"customRules/{each.rule}",
                entries=tuple(replace(entry, allow=False) for entry in entries),
                default_allow=True,
                add=partial(_by_hand, "take them off this rule, which blocks"),
            )


def _by_hand(what: str, spans: Sequence[Span]) -> Addition:
    return Addition(entries=_texts(spans), by_hand=what)


def _add_to_waf(service: Service, parent: Parent, name: str, place: int, spans: Sequence[Span]) -> Addition:
    custom: Object = parent.properties["customRules"]
    rules = []
    for rule in custom["rules"]:
        conditions = [
            {**each, "matchValue": [*each["matchValue"], *_texts(spans)]}
            if rule["name"] == name and index == place
            else each
            for index, each in enumerate(rule["matchConditions"])
        ]
        rules.append({**rule, "matchConditions": conditions})
    kept = {key: parent.properties[key] for key in ("policySettings", "managedRules") if parent.properties.get(key)}
    body = {
        "location": parent.item.get("location"),
        "tags": parent.item.get("tags") or {},
        "sku": parent.item.get("sku"),
        "properties": {**kept, "customRules": {**custom, "rules": rules}},
    }
    request = Request(method="PUT", path=parent.id, api_version=service.api_version, body=body)
    return Addition(entries=_texts(spans), requests=(request,))


# The table.

_ACCESS: Final = "publicNetworkAccess"


def _acl(**form: Any) -> Reader:
    return partial(_inline, form=_Inline(**form))


SERVICES: Final[tuple[Service, ...]] = (
    Service(
        type=CLUSTER,
        label="AKS API server",
        api_version="2024-05-01",
        columns=("apiServerAccessProfile",),
        read=_cluster,
        source="AKS documentation, api-server-authorized-ip-ranges",
    ),
    Service(
        type=SQL,
        label="SQL server",
        api_version="2021-11-01",
        columns=(_ACCESS,),
        children="firewallRules",
        read=_database,
        source="Azure SQL Database documentation, firewall-configure",
    ),
    Service(
        type=INSTANCE,
        label="SQL managed instance",
        api_version="2021-11-01",
        columns=("publicDataEndpointEnabled", "subnetId"),
        read=_instance,
        source="Azure SQL documentation, public-endpoint-configure",
    ),
    Service(
        type="Microsoft.DBforPostgreSQL/flexibleServers",
        label="PostgreSQL",
        api_version="2022-12-01",
        columns=("network",),
        children="firewallRules",
        read=partial(_database, network="network"),
        source="Azure Database for PostgreSQL documentation, concepts-firewall-rules",
    ),
    Service(
        type="Microsoft.DBforMySQL/flexibleServers",
        label="MySQL",
        api_version="2023-12-30",
        columns=("network",),
        children="firewallRules",
        read=partial(_database, network="network"),
        source="Azure Database for MySQL documentation, concepts-networking-public",
    ),
    Service(
        type="Microsoft.Cache/redis",
        label="Redis",
        api_version="2023-08-01",
        columns=(_ACCESS,),
        children="firewallRules",
        # Names of its rules have no hyphen (azure-rest-api-specs, redis.json).
        read=partial(_database, start="startIP", end="endIP", mark="_", empty_is_open=True),
        source="Azure Cache for Redis documentation, cache-configure",
    ),
    Service(
        type="Microsoft.Synapse/workspaces",
        label="Synapse",
        api_version="2021-06-01",
        columns=(_ACCESS,),
        children="firewallRules",
        read=_database,
        source="Azure Synapse documentation, synapse-workspace-ip-firewall",
    ),
    Service(
        type="Microsoft.ServiceBus/namespaces",
        label="Service Bus",
        api_version="2021-11-01",
        columns=(_ACCESS,),
        children="networkRuleSets",
        read=_namespace,
        source="Azure Service Bus documentation, service-bus-ip-filtering",
    ),
    Service(
        type="Microsoft.EventHub/namespaces",
        label="Event Hubs",
        api_version="2021-11-01",
        columns=(_ACCESS,),
        children="networkRuleSets",
        read=_namespace,
        source="Azure Event Hubs documentation, event-hubs-ip-filtering",
    ),
    Service(
        type="Microsoft.Web/sites",
        label="App Service",
        api_version="2022-03-01",
        columns=(_ACCESS,),
        children="config/web",
        single=True,
        read=_site,
        source="App Service documentation, overview-access-restrictions",
    ),
    Service(
        type="Microsoft.Web/sites/slots",
        label="App Service slot",
        api_version="2022-03-01",
        columns=(_ACCESS,),
        children="config/web",
        single=True,
        read=_site,
        source="App Service documentation, overview-access-restrictions",
    ),
    Service(
        type="Microsoft.Storage/storageAccounts",
        label="storage account",
        api_version="2023-01-01",
        columns=(_ACCESS, "networkAcls"),
        read=_acl(
            holder="networkAcls",
            rules="ipRules",
            action=True,
            default="defaultAction",
            subnets="virtualNetworkRules",
            small=False,
            same_region=SAME_REGION,
        ),
        source="Azure Storage documentation, storage-network-security",
    ),
    Service(
        type="Microsoft.KeyVault/vaults",
        label="Key Vault",
        api_version="2023-07-01",
        columns=(_ACCESS, "networkAcls"),
        read=_acl(holder="networkAcls", rules="ipRules", default="defaultAction", subnets="virtualNetworkRules"),
        source="Azure Key Vault documentation, network-security",
    ),
    Service(
        type="Microsoft.DocumentDB/databaseAccounts",
        label="Cosmos DB",
        api_version="2023-04-15",
        columns=(_ACCESS, "ipRules", "isVirtualNetworkFilterEnabled", "virtualNetworkRules"),
        read=_acl(rules="ipRules", value="ipAddressOrRange", subnets="virtualNetworkRules"),
        source="Azure Cosmos DB documentation, how-to-configure-firewall",
    ),
    Service(
        type="Microsoft.ContainerRegistry/registries",
        label="container registry",
        api_version="2022-12-01",
        columns=(_ACCESS, "networkRuleSet"),
        read=_acl(holder="networkRuleSet", rules="ipRules", action=True, default="defaultAction"),
        source="Azure Container Registry documentation, container-registry-access-selected-networks",
    ),
    Service(
        type="Microsoft.CognitiveServices/accounts",
        label="AI services",
        api_version="2023-05-01",
        columns=(_ACCESS, "networkAcls"),
        read=_acl(holder="networkAcls", rules="ipRules", default="defaultAction", subnets="virtualNetworkRules"),
        source="Azure AI services documentation, cognitive-services-virtual-networks",
    ),
    Service(
        type="Microsoft.Search/searchServices",
        label="AI Search",
        api_version="2023-11-01",
        columns=(_ACCESS, "networkRuleSet"),
        read=_acl(holder="networkRuleSet", rules="ipRules"),
        source="Azure AI Search documentation, service-configure-firewall",
    ),
    Service(
        type="Microsoft.EventGrid/topics",
        label="Event Grid topic",
        api_version="2022-06-15",
        columns=(_ACCESS, "inboundIpRules"),
        read=_acl(rules="inboundIpRules", value="ipMask", action=True),
        source="Azure Event Grid documentation, configure-firewall",
    ),
    Service(
        type="Microsoft.EventGrid/domains",
        label="Event Grid domain",
        api_version="2022-06-15",
        columns=(_ACCESS, "inboundIpRules"),
        read=_acl(rules="inboundIpRules", value="ipMask", action=True),
        source="Azure Event Grid documentation, configure-firewall",
    ),
    Service(
        type="Microsoft.Kusto/clusters",
        label="Data Explorer",
        api_version="2023-08-15",
        columns=(_ACCESS, "allowedIpRangeList"),
        read=_acl(rules="allowedIpRangeList", value=""),
        source="Azure Data Explorer documentation, security-network-restrict-public-access",
    ),
    Service(
        type="Microsoft.SignalRService/signalR",
        label="SignalR",
        api_version="2024-03-01",
        columns=(_ACCESS, "networkACLs"),
        read=_signalr,
        source="Azure SignalR Service documentation, howto-network-access-control",
    ),
    Service(
        type="Microsoft.SignalRService/webPubSub",
        label="Web PubSub",
        api_version="2024-03-01",
        columns=(_ACCESS, "networkACLs"),
        read=_signalr,
        source="Azure Web PubSub documentation, howto-secure-network-access-control",
    ),
    Service(
        type="Microsoft.App/containerApps",
        label="container app",
        api_version="2023-05-01",
        columns=("configuration.ingress",),
        read=_container_app,
        source="Azure Container Apps documentation, ip-restrictions",
    ),
    Service(
        type=NSG,
        label="network security group",
        api_version="2024-05-01",
        columns=("securityRules", "subnets"),
        read=_security_group,
        source="Azure virtual network documentation, network-security-groups-overview",
    ),
    Service(
        type="Microsoft.Network/frontDoorWebApplicationFirewallPolicies",
        label="Front Door WAF",
        api_version="2022-05-01",
        columns=("customRules", "policySettings", "managedRules"),
        read=partial(_waf, conditions=_front_door_conditions),
        source="Azure Front Door documentation, waf-front-door-configure-ip-restriction",
    ),
    Service(
        type="Microsoft.Network/ApplicationGatewayWebApplicationFirewallPolicies",
        label="application gateway WAF",
        api_version="2024-05-01",
        columns=("customRules",),
        read=partial(_waf, conditions=_gateway_conditions, by_hand="to the rule's matchValues"),
        source="Azure Web Application Firewall documentation, custom-waf-rules-overview",
    ),
    Service(
        type=IP_GROUP,
        label="IP group",
        api_version="2024-05-01",
        columns=("ipAddresses",),
        read=_ip_group,
        source="Azure Firewall documentation, ip-groups",
    ),
    Service(
        type="Microsoft.Network/firewallPolicies",
        label="firewall policy",
        api_version="2024-05-01",
        columns=(),
        children="ruleCollectionGroups",
        read=_firewall_policy,
        source="Azure Firewall documentation, policy-rule-sets",
    ),
    Service(
        type="Microsoft.Network/azureFirewalls",
        label="firewall without a policy",
        api_version="2024-05-01",
        columns=("natRuleCollections", "networkRuleCollections", "applicationRuleCollections"),
        read=_firewall,
        source="Azure Firewall documentation, rule-processing",
    ),
)
"""Every type whose lists the audit reads; where addresses have to be added first comes first."""

BY_TYPE: Final[Mapping[str, Service]] = {service.type.casefold(): service for service in SERVICES}
