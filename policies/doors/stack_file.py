"""Reads the stack file of an emergency stack: its resources, without running anything.

What `stacks/emergency.py` declares is declared here once more, as far as a rule looks at it, because importing the
program's SDKs takes longer than everything else together. A test runs both over the same files and compares.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import yaml

from headroom.addresses.blocks import Block, read_blocks, shown
from headroom.addresses.problems import Problem, ProblemsError
from headroom.capacity.cni_version import SUBNET_ROLE_TAG, CniVersion, cluster_tag
from headroom.capacity.settings import EXTERNAL_SNAT, live_settings_to_keep
from headroom.capacity.subnet_tags import tag_of_others
from headroom.planning import emergency_keys as keys
from policies import yaml_text
from policies.resources import (
    ADDON,
    CIDR_ASSOCIATION,
    DAEMON_SET_PATCH,
    ENI_CONFIG,
    POD_SUBNETS_COMPONENT,
    RESERVATION,
    ROUTE,
    ROUTE_TABLE,
    ROUTE_TABLE_ASSOCIATION,
    SECONDARY_CIDR_COMPONENT,
    STASH,
    SUBNET,
    TAG,
    UNKNOWN,
    Place,
    Resource,
)

NAMESPACE: Final = "headroom:"
REMEDY: Final = f"{NAMESPACE}remedy"
EMERGENCY: Final = "emergency"
NAME: Final = "pods"
"""Logical name of the stack's components (stacks/emergency.py)."""
CUSTOM_NETWORKING: Final = {
    "AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG": "true",
    "ENI_CONFIG_LABEL_DEF": "topology.kubernetes.io/zone",
}
"""What goes with ENIConfigs (components/custom_networking.py)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StackFile:
    """A stack file as it was written.

    Attributes:
        path: The file.
        stack: The stack's name, from the file's.
        config: Values by key, `headroom:` keys with their namespace.
        lines: Line of every key and list element by its path.
    """

    path: Path
    stack: str
    config: Mapping[str, Any]
    lines: Mapping[tuple[str, ...], int]

    def line(self, *path: str) -> int:
        """The line of the nearest key that was written on the way to this one."""
        for end in range(len(path), 0, -1):
            found = self.lines.get(("config", *path[:end]))
            if found is not None:
                return found
        return 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What a stack file declares.

    Attributes:
        resources: Its resources.
        facts: By rule, what the file knows beside them, in the form of the rule's configuration.
        places: Where the values behind the facts stand, by the key of the configuration.
        unjudged: Keys of which only the program itself can judge everything.
    """

    resources: list[Resource]
    facts: Mapping[str, Mapping[str, Any]]
    places: Mapping[str, Place]
    unjudged: Sequence[str] = ()


def load(path: Path, text: str) -> StackFile:
    """Reads a stack file with the lines of its keys.

    Raises:
        ProblemsError: It is no YAML mapping with a `config`, has a key twice, or is beyond what `yaml_text` reads.
    """
    try:
        node, document = yaml_text.load(text)
    except yaml.YAMLError as error:
        raise ProblemsError([_wrong(str(path), f"cannot be read as YAML: {' '.join(str(error).split())}.")]) from None
    lines: dict[tuple[str, ...], int] = {}
    problems: list[Problem] = []
    if node is not None:
        _walk(node, (), lines, problems)
    found = document.get("config") if isinstance(document, dict) else None
    config: dict[Any, Any] = found if isinstance(found, dict) else {}
    if not isinstance(found, dict):
        problems.append(_wrong(str(path), "has no `config:` mapping, so it is no stack file."))
    if problems:
        raise ProblemsError(problems, subject=path.name)
    stack = path.stem.removeprefix("Pulumi.")
    return StackFile(path=path, stack=stack, config={str(key): item for key, item in config.items()}, lines=lines)


def _walk(node: Any, path: tuple[str, ...], lines: dict[tuple[str, ...], int], problems: list[Problem]) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            place = (*path, str(key.value))
            if place in lines:
                problems.append(
                    _wrong(
                        ".".join(place),
                        f"is written twice, in lines {lines[place]} and "
                        f"{key.start_mark.line + 1}: the second wins in silence.",
                    )
                )
            lines[place] = key.start_mark.line + 1
            _walk(value, place, lines, problems)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            lines[*path, str(index)] = value.start_mark.line + 1
            _walk(value, (*path, str(index)), lines, problems)


class _Reader:
    """Typed values of the file; what has another type is a problem with its line."""

    def __init__(self, file: StackFile) -> None:
        self.file = file
        self.problems: list[Problem] = []

    def value(self, key: str, kind: type[Any], default: Any) -> Any:
        return self.checked((NAMESPACE + key,), self.file.config.get(NAMESPACE + key), kind, default)

    def checked(self, path: tuple[str, ...], value: Any, kind: type[Any], default: Any) -> Any:
        if value is None:
            return default
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            self.problems.append(_wrong(self.place(*path), f"{shown(value)} is not {_WORDS[kind]}."))
            return default
        return value

    def place(self, *path: str) -> str:
        """File, line and key as a problem names them."""
        return f"{self.file.path.name} line {self.file.line(*path)}: {'.'.join(map(shown, path))}"

    def field(self, path: tuple[str, ...], fields: Mapping[str, Any], name: str, kind: type[Any], default: Any) -> Any:
        return self.checked((*path, name), fields.get(name), kind, default)

    def mappings(self, key: str) -> Iterator[tuple[str, tuple[str, ...], dict[str, Any]]]:
        """The entries of a mapping of mappings, with their path."""
        for name, item in self.value(key, dict, {}).items():
            path = (NAMESPACE + key, str(name))
            yield str(name), path, self.checked(path, item, dict, {})


_WORDS: Final[Mapping[type, str]] = {
    str: "text (put it in quotes)",
    bool: "true or false",
    int: "a whole number",
    list: "a list",
    dict: "a mapping",
}


def declared(file: StackFile, project: str = "headroom") -> Declared:
    """The resources and facts of a stack file.

    Raises:
        ProblemsError: It is not one of an emergency stack, or values have the wrong type; all of them.
    """
    remedy = file.config.get(REMEDY)
    if remedy != EMERGENCY:
        problem = Problem(
            rule="remedy",
            key=f"{file.path.name} line {file.line(REMEDY)}",
            value=f"headroom:remedy {shown(remedy)}" if remedy is not None else "headroom:remedy",
            reason="is not emergency: only that stack can be judged by its file."
            if remedy is not None
            else "is not set, so this is not a stack file of Headroom.",
            next_step=f"Run the program instead: `headroom check . --stack {file.stack}`.",
        )
        raise ProblemsError([problem], subject=file.path.name)
    reader = _Reader(file)
    reader.problems.extend(list(_refused(reader)))
    resources = list(_Emergency(reader, project).resources())
    facts = _facts(reader)
    if reader.problems:
        # A value that is read in two places is wrong once.
        raise ProblemsError(dict.fromkeys(reader.problems), subject=file.path.name)
    places = {
        key: Place(file=str(file.path), line=file.line(NAMESPACE + key)) for key in ("cniVersion", "vpcCidrBlocks")
    }
    unjudged = [key for key in ("cniSettings", "customNetworking") if file.config.get(NAMESPACE + key)]
    return Declared(resources=resources, facts=facts, places=places, unjudged=unjudged)


def _refused(reader: _Reader) -> Iterator[Problem]:
    """What the program refuses before it declares anything: by the tables and checks that it has itself."""
    yield from _refused_keys(reader)
    for key in ("vpcCidrBlocks", "secondaryCidrs"):
        for index, cidr in enumerate(reader.value(key, list, [])):
            yield from _cidr(reader, (NAMESPACE + key, str(index)), cidr)
    yield from _refused_tags(reader)
    yield from _refused_subnets(reader)
    yield from _refused_rules(reader)
    yield from _refused_reservations(reader)
    for key, fields in (("cniSettings", keys.CNI_FIELDS), ("customNetworking", keys.CUSTOM_FIELDS)):
        yield from _unknown_fields(reader, (NAMESPACE + key,), reader.value(key, dict, {}), fields)
    path = (f"{NAMESPACE}customNetworking",)
    groups = reader.field(path, reader.value("customNetworking", dict, {}), "securityGroupIds", list, [])
    for index, group in enumerate(groups):
        yield from _id(reader, (*path, "securityGroupIds", str(index)), "securityGroupIds", group)


def _refused_keys(reader: _Reader) -> Iterator[Problem]:
    config = reader.file.config
    for full in config:
        namespace, colon, key = full.rpartition(":")
        if not colon and key in keys.KEYS:
            yield _unknown(reader.place(full), full, "lacks its namespace.", f"Write {NAMESPACE}{full}.")
        elif namespace + colon in ("", NAMESPACE) and key not in keys.KEYS:
            yield _unknown(reader.place(full), full, "is no key of an emergency stack.", keys.near(key, keys.KEYS))
    for key, example in keys.REQUIRED.items():
        if config.get(NAMESPACE + key) in (None, "", []):
            yield _missing(reader, (NAMESPACE + key,), f"Write it, such as {example}.")
    cluster, vpc_id = config.get(f"{NAMESPACE}clusterName"), config.get(f"{NAMESPACE}vpcId")
    if isinstance(cluster, str) and cluster:
        yield from _one(keys.cluster_name_problem(reader.place(f"{NAMESPACE}clusterName"), cluster))
    yield from _id(reader, (f"{NAMESPACE}vpcId",), "vpcId", vpc_id)


def _refused_tags(reader: _Reader) -> Iterator[Problem]:
    path = f"{NAMESPACE}tags"
    for tag, value in reader.value("tags", dict, {}).items():
        text = reader.checked((path, str(tag)), value, str, "")
        place = reader.place(path, str(tag))
        yield from keys.own_tag_problems(place, {str(tag): text})
        if not tag_of_others(str(tag)):  # pod-subnet-not-for-nodes says what is wrong with those
            yield from keys.tag_problems(place, {str(tag): text})
        if tag == SUBNET_ROLE_TAG:
            yield _unknown(place, tag, "is set by the stack.", "Use headroom:acceptNewPods to take it away.")
    given = {str(tag): "" for tag in reader.value("tags", dict, {})}
    yield from keys.tag_count_problems(reader.place(path), given, [keys.STACK_TAG])


def _refused_subnets(reader: _Reader) -> Iterator[Problem]:
    given = reader.file.config.get("aws:region")
    region = given if isinstance(given, str) and given else None
    for key, path, fields in reader.mappings("podSubnets"):
        yield from _unknown_fields(reader, path, fields, keys.SUBNET_FIELDS)
        zone = fields.get("zone", key)
        if isinstance(zone, str):
            place = reader.place(*path, *(["zone"] if "zone" in fields else []))
            yield from _one(keys.zone_problem(place, zone, region, is_key="zone" not in fields))
        for name in ("routeTableId", "networkAclId"):
            yield from _id(reader, (*path, name), name, fields.get(name))
        if not fields.get("cidrBlock"):
            yield _missing(reader, (*path, "cidrBlock"), "`headroom calc layout` prints blocks that are free.")
        if fields.get("routeTableId") and fields.get("routes") is not None:
            problem = Problem(
                rule="pod-subnet-route",
                key=reader.place(*path, "routes"),
                value=key,
                reason="has both a route table and routes.",
                next_step="Name a table (routeTableId), or the routes of a new one.",
                source="amazon-vpc-cni-k8s #1359",
            )
            yield problem
        for destination, target in reader.field(path, fields, "routes", dict, {}).items():
            yield from _refused_route(reader, (*path, "routes", str(destination)), destination, target)


def _refused_route(reader: _Reader, path: tuple[str, ...], destination: object, target: object) -> Iterator[Problem]:
    yield from _cidr(reader, path, destination)
    block, given = _block(destination), reader.value("vpcCidrBlocks", list, [])
    inside = [*given, *reader.value("secondaryCidrs", list, [])]
    if block is not None and any(around.contains(block) for cidr in inside if (around := _block(cidr)) is not None):
        yield Problem(
            rule="route-inside-vpc",
            key=reader.place(*path),
            value=str(destination),
            reason="lies in the VPC: local already routes it.",
            next_step="Leave the route out.",
            source="VPC user guide, VPC_Route_Tables",
        )
    fields = reader.checked(path, target, dict, {})
    yield from _unknown_fields(reader, path, fields, tuple(keys.ROUTE_FIELDS))
    named = [name for name in fields if name in keys.ROUTE_FIELDS]
    if len(named) == 1:
        yield from _id(reader, (*path, named[0]), named[0], fields[named[0]] or "nothing")
    else:
        step = f"Write one of {', '.join(keys.ROUTE_FIELDS)}."
        yield _unknown(reader.place(*path), f"{len(named)} targets", "is not one target.", step)


def _refused_rules(reader: _Reader) -> Iterator[Problem]:
    for _, path, fields in reader.mappings("ingressRules"):
        yield from _unknown_fields(reader, path, fields, keys.RULE_FIELDS)
        if not fields.get("securityGroupId"):
            yield _missing(reader, (*path, "securityGroupId"), "Name the group whose rules name CIDRs.")
        yield from _id(reader, (*path, "securityGroupId"), "securityGroupId", fields.get("securityGroupId"))
        for problem in keys.rule_problems(
            "",
            protocol=reader.field(path, fields, "protocol", str, keys.ALL_PROTOCOLS),
            from_port=reader.field(path, fields, "fromPort", int, None),
            to_port=reader.field(path, fields, "toPort", int, None),
            description=reader.field(path, fields, "description", str, ""),
        ):
            below = [part for part in problem.key.split(".") if part]
            yield replace(problem, key=reader.place(*path, *below))


def _refused_reservations(reader: _Reader) -> Iterator[Problem]:
    subnets = {key for key, _, _ in reader.mappings("podSubnets")}
    for key, path, fields in reader.mappings("prefixReservations"):
        yield from _unknown_fields(reader, path, fields, keys.RESERVATION_FIELDS)
        if key not in subnets:
            step = f"Write one of {', '.join(map(shown, sorted(subnets)))}."
            yield _unknown(reader.place(*path), key, "is no key of podSubnets.", step)
        if fields.get("primaryAddresses") is None:
            step = "Write how many network interfaces the subnet will hold: each needs an address outside."
            yield _missing(reader, (*path, "primaryAddresses"), step)
        reader.field(path, fields, "primaryAddresses", int, 0)


def _unknown_fields(
    reader: _Reader, path: tuple[str, ...], fields: Mapping[Any, Any], known: Sequence[str]
) -> Iterator[Problem]:
    for name in fields:
        if name not in known:
            step = keys.near(str(name), tuple(known))
            yield _unknown(reader.place(*path, str(name)), str(name), "is not known here.", step)


def _id(reader: _Reader, path: tuple[str, ...], name: str, value: object) -> Iterator[Problem]:
    """What is wrong with an id; one that was not written is told elsewhere where it is needed."""
    if value is not None and value != "":
        text = reader.checked(path, value, str, None)
        if text is not None:
            yield from _one(keys.id_problem(reader.place(*path), name, text))


def _cidr(reader: _Reader, path: tuple[str, ...], value: object) -> Iterator[Problem]:
    text = reader.checked(path, value, str, None)
    found: list[Problem] = []
    if text is not None:
        read_blocks([text], key="", problems=found)
    for problem in found:
        yield replace(problem, key=reader.place(*path))


def _one(problem: Problem | None) -> list[Problem]:
    return [] if problem is None else [problem]


def _missing(reader: _Reader, path: tuple[str, ...], next_step: str) -> Problem:
    return _unknown(reader.place(*path), "nothing", "is set.", next_step)


def _unknown(place: str, value: str, reason: str, next_step: str) -> Problem:
    return Problem(rule="stack-file", key=place, value=shown(value), reason=reason, next_step=next_step)


class _Emergency:
    """Builds the resources of one emergency stack."""

    def __init__(self, reader: _Reader, project: str) -> None:
        self._reader = reader
        self._project = project
        self._subnets: dict[str, Resource] = {}
        self._zones: dict[str, str] = {}
        self._accepts: bool = reader.value("acceptNewPods", bool, default=True)

    def resources(self) -> Iterator[Resource]:
        vpc_id = self._reader.value("vpcId", str, "")
        protect = self._reader.value("protect", bool, default=True)
        associations: dict[Block, str] = {}
        for index, cidr in enumerate(self._reader.value("secondaryCidrs", list, [])):
            made = self._resource(
                CIDR_ASSOCIATION,
                f"{NAME}-{cidr}",
                {"vpcId": vpc_id, "cidrBlock": cidr},
                (f"{NAMESPACE}secondaryCidrs", str(index)),
                component=SECONDARY_CIDR_COMPONENT,
                protect=protect,
            )
            block = _block(cidr)
            if block is not None:
                associations[block] = made.urn
            yield made
        for key, path, fields in self._reader.mappings("podSubnets"):
            yield from self._subnet(key, path, fields, vpc_id, associations)
        yield from self._reservations()
        yield from self._cni()
        yield self._resource(
            STASH,
            f"{NAME}-in-use",
            {
                "input": {
                    "subnetIds": dict.fromkeys(self._subnets, UNKNOWN),
                    "acceptNewPods": self._accepts,
                    "protect": protect,
                }
            },
            (f"{NAMESPACE}podSubnets",),
            component=POD_SUBNETS_COMPONENT,
            protect=protect,
            dependencies={"input": tuple(subnet.urn for subnet in self._subnets.values())},
        )

    def _subnet(
        self, key: str, path: tuple[str, ...], fields: Mapping[str, Any], vpc_id: str, associations: Mapping[Block, str]
    ) -> Iterator[Resource]:
        reader = self._reader
        cidr, zone = fields.get("cidrBlock"), reader.field(path, fields, "zone", str, key)
        block = _block(cidr)
        sources = [urn for whole, urn in associations.items() if block is not None and whole.contains(block)]
        subnet = self._resource(
            SUBNET,
            f"{NAME}-{key}",
            {"vpcId": vpc_id, "availabilityZone": zone, "cidrBlock": cidr, "tags": self._tags(key)},
            path,
            component=POD_SUBNETS_COMPONENT,
            dependencies={"vpcId": tuple(sources)},
            lines={"cidrBlock": "cidrBlock", "availabilityZone": "zone"},
        )
        self._subnets[key], self._zones[key] = subnet, zone
        yield subnet
        table: Any = reader.field(path, fields, "routeTableId", str, None)
        table_source: tuple[str, ...] = ()
        if table is None and fields.get("routes") is not None:
            routes = reader.field(path, fields, "routes", dict, {})
            own = self._resource(ROUTE_TABLE, f"{NAME}-{key}", {"vpcId": vpc_id}, path, component=POD_SUBNETS_COMPONENT)
            table, table_source = UNKNOWN, (own.urn,)
            yield own
            for destination, target in routes.items():
                place = (*path, "routes", str(destination))
                yield self._resource(
                    ROUTE,
                    f"{NAME}-{key}-{destination}",
                    {
                        "routeTableId": UNKNOWN,
                        "destinationCidrBlock": str(destination),
                        **reader.checked(place, target, dict, {}),
                    },
                    place,
                    component=POD_SUBNETS_COMPONENT,
                    dependencies={"routeTableId": table_source},
                )
        if table is not None:
            yield self._resource(
                ROUTE_TABLE_ASSOCIATION,
                f"{NAME}-{key}",
                {"subnetId": UNKNOWN, "routeTableId": table},
                path,
                component=POD_SUBNETS_COMPONENT,
                dependencies={"subnetId": (subnet.urn,), "routeTableId": table_source},
            )
        if self._accepts:
            yield self._resource(
                TAG,
                f"{NAME}-{key}",
                {"resourceId": UNKNOWN, "key": SUBNET_ROLE_TAG, "value": "1"},
                path,
                component=POD_SUBNETS_COMPONENT,
                dependencies={"resourceId": (subnet.urn,)},
            )

    def _tags(self, key: str) -> dict[str, Any]:
        reader = self._reader
        tags: dict[str, Any] = {"Name": f"{NAME}-{key}", **reader.value("tags", dict, {})}
        version = _version(reader.value("cniVersion", str, ""))
        if version is not None and reader.value("scopeToCluster", bool, default=True):
            scope = cluster_tag(version, reader.value("clusterName", str, ""))
            tags.update([scope] if scope is not None else [])
        return tags

    def _reservations(self) -> Iterator[Resource]:
        for key, path, fields in self._reader.mappings("prefixReservations"):
            subnet = self._subnets.get(key)
            for index, cidr in enumerate(self._reader.field(path, fields, "cidrBlocks", list, [])):
                yield self._resource(
                    RESERVATION,
                    f"{NAME}-{key}-{cidr}",
                    {"subnetId": UNKNOWN, "cidrBlock": cidr, "reservationType": "prefix"},
                    (*path, "cidrBlocks", str(index)),
                    component="headroom:index:PrefixReservations",
                    dependencies={"subnetId": (subnet.urn,) if subnet is not None else ()},
                )

    def _cni(self) -> Iterator[Resource]:
        reader = self._reader
        custom = reader.value("customNetworking", dict, {})
        path = (f"{NAMESPACE}customNetworking",)
        for key, subnet in self._subnets.items() if custom else ():
            yield self._resource(
                ENI_CONFIG,
                f"{NAME}-{self._zones[key]}",
                {"metadata": {"name": self._zones[key]}, "spec": {"subnet": UNKNOWN}},
                path,
                component="headroom:index:CustomNetworking",
                dependencies={"spec": (subnet.urn,)},
            )
        fields = reader.value("cniSettings", dict, {})
        if not fields:
            return
        path = (f"{NAMESPACE}cniSettings",)
        settings = {
            **(CUSTOM_NETWORKING if custom else {}),
            **reader.field(path, fields, "settings", dict, {}),
        }
        if fields.get("managedBy") == "addon":
            live = reader.field(path, fields, "liveEnvironment", dict, {})
            yield self._resource(ADDON, "cni", self._addon(path, fields, settings, live), path, component=_CNI)
        else:
            environment = [{"name": name, "value": value} for name, value in sorted(settings.items())]
            properties = {
                "metadata": {"name": "aws-node", "namespace": "kube-system"},
                "spec": {"template": {"spec": {"containers": [{"name": "aws-node", "env": environment}]}}},
            }
            yield self._resource(DAEMON_SET_PATCH, "cni", properties, path, component=_CNI)

    def _addon(
        self, path: tuple[str, ...], fields: Mapping[str, Any], settings: Mapping[str, Any], live: Mapping[str, Any]
    ) -> dict[str, Any]:
        given_text = self._reader.field(path, fields, "liveConfiguration", str, "")
        try:
            given = json.loads(given_text) if given_text else {}
        except (json.JSONDecodeError, RecursionError) as error:
            self._reader.problems.append(_wrong(".".join((*path, "liveConfiguration")), f"is not JSON: {error}."))
            given = {}
        given = given if isinstance(given, dict) else {}
        listed = given.get("env")
        environment: dict[Any, Any] = listed if isinstance(listed, dict) else {}
        kept = {name: live.get(name, value) for name, value in environment.items()}
        merged = {**live_settings_to_keep({str(name): str(value) for name, value in live.items()}), **kept, **settings}
        values = {**given, "env": dict(sorted(merged.items()))}
        version = self._reader.field(path, fields, "addonVersion", str, None)
        return {
            "addonName": "vpc-cni",
            **({"addonVersion": version} if version is not None else {}),
            "configurationValues": json.dumps(values, sort_keys=True, separators=(",", ":")),
            "resolveConflictsOnCreate": "OVERWRITE",
            "resolveConflictsOnUpdate": "OVERWRITE",
            "preserve": True,
        }

    def _resource(  # noqa: PLR0913 - private; what a resource is made of
        self,
        type_: str,
        name: str,
        properties: Mapping[str, Any],
        path: tuple[str, ...],
        *,
        component: str,
        protect: bool = False,
        dependencies: Mapping[str, tuple[str, ...]] | None = None,
        lines: Mapping[str, str] | None = None,
    ) -> Resource:
        file = self._reader.file
        urn = f"urn:pulumi:{file.stack}::{self._project}::{component}${type_}::{name}"
        return Resource(
            type=type_,
            name=name,
            urn=urn,
            properties=properties,
            protect=protect,
            dependencies=dependencies or {},
            place=Place(
                file=str(file.path),
                line=file.line(*path),
                lines={key: file.line(*path, field) for key, field in (lines or {}).items()},
            ),
        )


_CNI: Final = "headroom:index:CniSettings"


def _block(cidr: object) -> Block | None:
    try:
        return Block.parse(cidr)  # type: ignore[arg-type]  # refuses what is not text
    except ProblemsError:
        return None  # the rules say what is wrong with it


def _version(text: str) -> CniVersion | None:
    try:
        return CniVersion.parse(text)
    except ProblemsError:
        return None  # cni-version-safe says what is wrong with it


def _facts(reader: _Reader) -> dict[str, dict[str, Any]]:
    vpc = reader.value("vpcCidrBlocks", list, [])
    secondary = reader.value("secondaryCidrs", list, [])
    version = reader.value("cniVersion", str, "")
    custom = reader.value("customNetworking", dict, {})
    fields = reader.value("cniSettings", dict, {})
    path = (f"{NAMESPACE}cniSettings",)
    live = reader.field(path, fields, "liveEnvironment", dict, {})
    environment = {**live, **({EXTERNAL_SNAT: "true"} if reader.value("externalSnat", bool, default=False) else {})}
    known = {"environment": {str(name): str(value) for name, value in environment.items()}} if environment else {}
    zones = reader.field((f"{NAMESPACE}customNetworking",), custom, "nodeZones", list, [])
    primary = {
        f"{NAME}-{key}": fields["primaryAddresses"]
        for key, _, fields in reader.mappings("prefixReservations")
        if isinstance(fields.get("primaryAddresses"), int)
    }
    return {
        "addon-keeps-settings": known,
        "cni-settings-coherent": {
            **known,
            "nitro": reader.field(path, fields, "nitro", bool, default=True),
            "networkPolicy": reader.field(path, fields, "networkPolicy", bool, default=False),
        },
        "cni-version-safe": {"cniVersion": version} if version else {},
        "discovery-tags": {
            **known,
            **({"cniVersion": version, "clusterName": reader.value("clusterName", str, "")} if version else {}),
        },
        "external-snat-route": known,
        "max-pods-consistent": known,
        "node-group-within-capacity": known,
        "prefix-delegation-has-room": known,
        "pod-subnet-inside-vpc": {"vpcCidrBlocks": vpc},
        "pod-subnet-zones": {"nodeZones": zones} if zones else {},
        "prefix-reservation-valid": {"primaryAddressesOf": primary} if primary else {},
        "secondary-cidr-legal": {
            "vpcCidrBlocks": [cidr for index, cidr in enumerate(vpc) if index == 0 or cidr not in secondary],
            "routes": reader.value("routeDestinations", list, []),
            "peerCidrBlocks": reader.value("peerCidrBlocks", list, []),
            "directConnectCidrBlocks": reader.value("directConnectCidrBlocks", list, []),
            "quota": reader.value("cidrQuota", int, 5),
            "allowFamilyMix": reader.value("allowFamilyMix", bool, default=False),
            **({"serviceCidr": service} if (service := reader.value("serviceCidr", str, "")) else {}),
        },
    }


def _wrong(place: str, reason: str) -> Problem:
    return Problem(rule="stack-file", value=place, reason=reason, next_step="Mend it in the stack file.")
