"""Stand-in resource types for VPC networking, with the calls and waits of the real provider."""

import zlib
from collections.abc import Mapping
from ipaddress import IPv4Network
from typing import Any

from botocore.exceptions import ClientError

from headroom.rehearsal.providers.aws_api import (
    AwsKind,
    TaggedKind,
    code_of,
    filter_list,
    region_of,
    tag_specifications,
    tags_of,
)
from headroom.rehearsal.providers.common import (
    Call,
    Change,
    Failure,
    Found,
    ProviderError,
)
from headroom.rehearsal.providers.values import UNKNOWN, Properties, is_empty

RETRY_SECONDS = 1.0
"""Pause between attempts to delete what something else still depends on."""

CIDR_GONE = frozenset({"InvalidVpcCidrBlockAssociationID.NotFound", "InvalidVpcID.NotFound"})
SUBNET_GONE = frozenset({"InvalidSubnetID.NotFound"})
TABLE_GONE = frozenset({"InvalidRouteTableID.NotFound"})
ASSOCIATION_GONE = frozenset({"InvalidAssociationID.NotFound", "InvalidAssociationId.NotFound"})


def canonical(cidr: Any) -> Any:
    """A CIDR without host bits, as EC2 keeps it; what is no CIDR stays what it is."""
    try:
        return str(IPv4Network(str(cidr), strict=False))
    except ValueError:
        return cidr


def cidr_failures(name: str, argument: str, inputs: Mapping[str, Any]) -> list[Failure]:
    """The complaint about an input that is no IPv4 CIDR."""
    value = inputs.get(name)
    if is_empty(value) or value == UNKNOWN:
        return []
    try:
        network = IPv4Network(str(value), strict=False)
    except ValueError:
        network = None
    if network is None or "/" not in str(value):
        reason = f'"{value}" is not a valid IPv4 CIDR block: invalid CIDR address: {value}'
        return [Failure(name, f"{argument}: {reason}")]
    if str(network) != value:
        reason = f'"{value}" is not a valid IPv4 CIDR block; did you mean "{network}"?'
        return [Failure(name, f"{argument}: {reason}")]
    return []


class VpcIpv4CidrBlockAssociation(AwsKind):
    """A secondary CIDR of a VPC; creation waits until it is `associated`."""

    token = "aws:ec2/vpcIpv4CidrBlockAssociation:VpcIpv4CidrBlockAssociation"  # noqa: S105  # no secret
    title = "EC2 VPC IPv4 CIDR Block Association"
    required = frozenset({"vpcId"})
    optional_computed = frozenset({"cidrBlock"})
    not_simulated = frozenset({"ipv4IpamPoolId", "ipv4NetmaskLength"})
    replaces = frozenset({"vpcId", "cidrBlock"})

    def check(self, call: Call, inputs: Properties) -> list[Failure]:
        """The CIDR has to be one, without host bits."""
        failures = super().check(call, inputs) + cidr_failures("cidrBlock", "cidr_block", inputs)
        if is_empty(inputs.get("cidrBlock")):
            failures.append(Failure("cidrBlock", 'Missing required argument. The argument "cidr_block" is required.'))
        return failures

    def create(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        """Associate and wait; one that fails to become `associated` is kept in the state."""
        ec2 = self.ec2(call, inputs)
        answer = ec2.associate_vpc_cidr_block(VpcId=inputs["vpcId"], CidrBlock=inputs["cidrBlock"])
        identifier = answer["CidrBlockAssociation"]["AssociationId"]
        state = {
            "vpcId": inputs["vpcId"],
            "cidrBlock": answer["CidrBlockAssociation"]["CidrBlock"],
            "region": region_of(call, inputs),
        }
        call.note_created(identifier, state)
        self._wait(call, ec2, identifier)
        return identifier, state

    def update(self, call: Call, identifier: str, change: Change) -> Properties:
        """Nothing can be changed; an association that was not waited for is waited for now."""
        self._wait(call, self.ec2(call, change.new_inputs), identifier)
        return super().update(call, identifier, change)

    def _wait(self, call: Call, ec2: Any, identifier: str) -> None:
        doing = f"waiting for {self.title} ({identifier}) create"
        last = ["associating"]

        def associated() -> bool:
            found = self._find(ec2, identifier)
            last[0] = found[1]["CidrBlockState"]["State"] if found else "gone"
            if last[0] in ("failing", "failed", "gone", "disassociated"):
                raise ProviderError(f"{doing}: unexpected state '{last[0]}', wanted target 'associated'")
            return last[0] == "associated"

        call.wait_until(
            associated,
            reason=lambda: f"{doing}: timeout while waiting for state to become 'associated' (last state: '{last[0]}')",
        )

    def read(self, call: Call, identifier: str, state: Properties, inputs: Properties) -> Found | None:
        """The association as the VPC has it."""
        found = self._find(self.ec2(call, state), identifier)
        if found is None or found[1]["CidrBlockState"]["State"] in ("disassociated", "failed"):
            return None
        vpc, association = found
        present = {
            "vpcId": vpc["VpcId"],
            "cidrBlock": association["CidrBlock"],
            "region": region_of(call, state),
        }
        return self.found(present, inputs)

    def delete(self, call: Call, identifier: str, state: Properties) -> None:
        """Disassociate and wait until it has gone."""
        ec2 = self.ec2(call, state)
        try:
            ec2.disassociate_vpc_cidr_block(AssociationId=identifier)
        except ClientError as error:
            if code_of(error) in CIDR_GONE:
                return
            raise

        def gone() -> bool:
            found = self._find(ec2, identifier)
            return found is None or found[1]["CidrBlockState"]["State"] == "disassociated"

        call.wait_until(gone, reason=lambda: f"waiting for {self.title} ({identifier}) delete: still disassociating")

    def compared(self, call: Call, name: str, value: Any) -> Any:
        """CIDRs are compared as EC2 keeps them."""
        del call
        return canonical(value) if name == "cidrBlock" and not is_empty(value) else value

    @staticmethod
    def _find(ec2: Any, identifier: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
        filters = filter_list({"cidr-block-association.association-id": [identifier]})
        for vpc in ec2.describe_vpcs(Filters=filters)["Vpcs"]:
            for association in vpc.get("CidrBlockAssociationSet", []):
                if association["AssociationId"] == identifier:
                    return vpc, association
        return None


class Subnet(TaggedKind):
    """A subnet."""

    token = "aws:ec2/subnet:Subnet"  # noqa: S105  # no secret
    title = "EC2 Subnet"
    required = frozenset({"vpcId"})
    optional = frozenset(
        {
            "tags",
            "assignIpv6AddressOnCreation",
            "mapPublicIpOnLaunch",
            "enableDns64",
            "enableResourceNameDnsARecordOnLaunch",
            "enableResourceNameDnsAaaaRecordOnLaunch",
        }
    )
    optional_computed = frozenset(
        {
            "cidrBlock",
            "availabilityZone",
            "availabilityZoneId",
            "ipv6CidrBlock",
            "privateDnsHostnameTypeOnLaunch",
        }
    )
    not_simulated = frozenset(
        {
            "customerOwnedIpv4Pool",
            "enableLniAtDeviceIndex",
            "ipv4IpamPoolId",
            "ipv4NetmaskLength",
            "ipv6IpamPoolId",
            "ipv6Native",
            "ipv6NetmaskLength",
            "mapCustomerOwnedIpOnLaunch",
            "outpostArn",
        }
    )
    outputs = frozenset({"arn", "ownerId", "tagsAll", "ipv6CidrBlockAssociationId"})
    replaces = frozenset({"vpcId", "cidrBlock", "availabilityZone", "availabilityZoneId", "ipv6CidrBlock"})

    flags = (
        ("assignIpv6AddressOnCreation", "AssignIpv6AddressOnCreation"),
        ("enableDns64", "EnableDns64"),
        ("enableResourceNameDnsAaaaRecordOnLaunch", "EnableResourceNameDnsAAAARecordOnLaunch"),
        ("enableResourceNameDnsARecordOnLaunch", "EnableResourceNameDnsARecordOnLaunch"),
        ("mapPublicIpOnLaunch", "MapPublicIpOnLaunch"),
    )

    def check(self, call: Call, inputs: Properties) -> list[Failure]:
        """The CIDR has to be one, without host bits; a zone is named by name or by id."""
        failures = super().check(call, inputs) + cidr_failures("cidrBlock", "cidr_block", inputs)
        if inputs.get("availabilityZone") and inputs.get("availabilityZoneId"):
            reason = '"availability_zone": conflicts with availability_zone_id'
            failures.append(Failure("availabilityZone", f"Conflicting configuration arguments. {reason}"))
        return failures

    def create(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        """Create with its tags, wait until it is available, then set what creation cannot."""
        ec2 = self.ec2(call, inputs)
        names = {
            "vpcId": "VpcId",
            "cidrBlock": "CidrBlock",
            "availabilityZone": "AvailabilityZone",
            "availabilityZoneId": "AvailabilityZoneId",
            "ipv6CidrBlock": "Ipv6CidrBlock",
        }
        request = {theirs: inputs[ours] for ours, theirs in names.items() if inputs.get(ours)}
        request |= tag_specifications("subnet", self.all_tags(inputs))
        identifier = ec2.create_subnet(**request)["Subnet"]["SubnetId"]
        call.note_created(identifier, {**inputs, "region": region_of(call, inputs)})
        call.wait_until(
            lambda: ec2.describe_subnets(SubnetIds=[identifier])["Subnets"][0]["State"] == "available",
            reason=lambda: (
                f"waiting for {self.title} ({identifier}) create: timeout while waiting for state to become 'available'"
            ),
        )
        self._set_flags(ec2, identifier, {}, inputs)
        return identifier, self._state(call, ec2, identifier, inputs)

    def read(self, call: Call, identifier: str, state: Properties, inputs: Properties) -> Found | None:
        """The subnet as EC2 describes it."""
        try:
            present = self._state(call, self.ec2(call, state), identifier, inputs, region_of(call, state))
        except ClientError as error:
            if code_of(error) in SUBNET_GONE:
                return None
            raise
        return self.found(present, inputs)

    def update(self, call: Call, identifier: str, change: Change) -> Properties:
        """Tags and flags."""
        ec2 = self.ec2(call, change.new_inputs)
        self.update_tags(call, identifier, change)
        self._set_flags(ec2, identifier, change.old_state, change.new_inputs)
        return self._state(call, ec2, identifier, change.new_inputs)

    def delete(self, call: Call, identifier: str, state: Properties) -> None:
        """Delete; as the real provider does, go on trying while something depends on it."""
        ec2 = self.ec2(call, state)
        last: list[ClientError] = []

        def deleted() -> bool:
            try:
                ec2.delete_subnet(SubnetId=identifier)
            except ClientError as error:
                if code_of(error) in SUBNET_GONE:
                    return True
                if code_of(error) != "DependencyViolation":
                    raise
                last[:] = [error]
                return False
            return True

        call.wait_until(
            deleted,
            reason=lambda: self.explain(f"deleting {self.title} ({identifier})", last[0]) or str(last[0]),
            every=RETRY_SECONDS,
        )

    def compared(self, call: Call, name: str, value: Any) -> Any:
        """CIDRs are compared as EC2 keeps them."""
        del call
        return canonical(value) if name == "cidrBlock" and not is_empty(value) else value

    def _set_flags(self, ec2: Any, identifier: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        for ours, theirs in self.flags:
            if bool(old.get(ours)) != bool(new.get(ours)):
                ec2.modify_subnet_attribute(SubnetId=identifier, **{theirs: {"Value": bool(new.get(ours))}})
        hostname = new.get("privateDnsHostnameTypeOnLaunch")
        if hostname and hostname != old.get("privateDnsHostnameTypeOnLaunch"):
            ec2.modify_subnet_attribute(SubnetId=identifier, PrivateDnsHostnameTypeOnLaunch=hostname)

    def _state(self, call: Call, ec2: Any, identifier: str, inputs: Mapping[str, Any], region: str = "") -> Properties:
        subnet = ec2.describe_subnets(SubnetIds=[identifier])["Subnets"][0]
        names = subnet.get("PrivateDnsNameOptionsOnLaunch", {})
        ipv6 = [
            item
            for item in subnet.get("Ipv6CidrBlockAssociationSet", [])
            if item["Ipv6CidrBlockState"]["State"] == "associated"
        ]
        return {
            "arn": subnet["SubnetArn"],
            "assignIpv6AddressOnCreation": subnet["AssignIpv6AddressOnCreation"],
            "availabilityZone": subnet["AvailabilityZone"],
            "availabilityZoneId": subnet["AvailabilityZoneId"],
            "cidrBlock": subnet["CidrBlock"],
            "enableDns64": subnet.get("EnableDns64", False),
            "enableResourceNameDnsARecordOnLaunch": names.get("EnableResourceNameDnsARecord", False),
            "enableResourceNameDnsAaaaRecordOnLaunch": names.get("EnableResourceNameDnsAAAARecord", False),
            "ipv6CidrBlock": ipv6[0]["Ipv6CidrBlock"] if ipv6 else "",
            "ipv6CidrBlockAssociationId": ipv6[0]["AssociationId"] if ipv6 else "",
            "mapPublicIpOnLaunch": subnet["MapPublicIpOnLaunch"],
            "ownerId": subnet["OwnerId"],
            "privateDnsHostnameTypeOnLaunch": names.get("HostnameType", "ip-name"),
            "region": region or region_of(call, inputs),
            "vpcId": subnet["VpcId"],
            **self.shown_tags(tags_of(subnet.get("Tags", []))),
        }


ROUTE_TARGETS = {
    "carrierGatewayId": "CarrierGatewayId",
    "egressOnlyGatewayId": "EgressOnlyInternetGatewayId",
    "gatewayId": "GatewayId",
    "localGatewayId": "LocalGatewayId",
    "natGatewayId": "NatGatewayId",
    "networkInterfaceId": "NetworkInterfaceId",
    "transitGatewayId": "TransitGatewayId",
    "vpcEndpointId": "VpcEndpointId",
    "vpcPeeringConnectionId": "VpcPeeringConnectionId",
}
"""Where a route may lead: the property, and what the API calls it."""

ROUTE_DESTINATIONS = {
    "destinationCidrBlock": "DestinationCidrBlock",
    "destinationIpv6CidrBlock": "DestinationIpv6CidrBlock",
    "destinationPrefixListId": "DestinationPrefixListId",
}

INLINE_DESTINATIONS = {
    "cidrBlock": "DestinationCidrBlock",
    "ipv6CidrBlock": "DestinationIpv6CidrBlock",
    "destinationPrefixListId": "DestinationPrefixListId",
}


def route_request(route: Mapping[str, Any], destinations: Mapping[str, str]) -> dict[str, Any]:
    """A route's properties as the API takes them."""
    names = {**destinations, **ROUTE_TARGETS}
    request = {theirs: route[ours] for ours, theirs in names.items() if route.get(ours)}
    gateway = str(request.get("GatewayId", ""))
    if gateway.startswith("vpce-"):
        request["VpcEndpointId"] = request.pop("GatewayId")
    return request


def route_properties(route: Mapping[str, Any], destinations: Mapping[str, str]) -> Properties:
    """A route as the API describes it, as properties."""
    names = {**destinations, **ROUTE_TARGETS}
    return {ours: route[theirs] for ours, theirs in names.items() if route.get(theirs)}


def find_table(ec2: Any, identifier: str) -> dict[str, Any] | None:
    """A route table, or None."""
    try:
        return dict(ec2.describe_route_tables(RouteTableIds=[identifier])["RouteTables"][0])
    except ClientError as error:
        if code_of(error) in TABLE_GONE:
            return None
        raise


class RouteTable(TaggedKind):
    """A route table, with routes given inside it or not at all."""

    token = "aws:ec2/routeTable:RouteTable"  # noqa: S105  # no secret
    title = "Route Table"
    required = frozenset({"vpcId"})
    optional = frozenset({"tags"})
    optional_computed = frozenset({"routes"})
    not_simulated = frozenset({"propagatingVgws"})
    outputs = frozenset({"arn", "ownerId", "tagsAll"})
    replaces = frozenset({"vpcId"})

    def create(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        """Create, then each route."""
        ec2 = self.ec2(call, inputs)
        tags = tag_specifications("route-table", self.all_tags(inputs))
        identifier = ec2.create_route_table(VpcId=inputs["vpcId"], **tags)["RouteTable"]["RouteTableId"]
        call.note_created(identifier, {**inputs, "routes": [], "region": region_of(call, inputs)})
        self._set_routes(ec2, identifier, [], inputs.get("routes") or [])
        return identifier, self._state(call, ec2, identifier, inputs) or {}

    def read(self, call: Call, identifier: str, state: Properties, inputs: Properties) -> Found | None:
        """The table with the routes that are not local."""
        present = self._state(call, self.ec2(call, state), identifier, inputs or state, region_of(call, state))
        return self.found(present, inputs) if present else None

    def update(self, call: Call, identifier: str, change: Change) -> Properties:
        """Tags and routes."""
        ec2 = self.ec2(call, change.new_inputs)
        self.update_tags(call, identifier, change)
        if "routes" in change.new_inputs:
            old = change.old_state.get("routes") or []
            self._set_routes(ec2, identifier, old, change.new_inputs["routes"])
        return self._state(call, ec2, identifier, change.new_inputs) or {}

    def delete(self, call: Call, identifier: str, state: Properties) -> None:
        """Drop its associations and delete it, as the real provider does."""
        ec2 = self.ec2(call, state)
        table = find_table(ec2, identifier)
        if table is None:
            return
        for association in table.get("Associations", []):
            if not association.get("Main"):
                ec2.disassociate_route_table(AssociationId=association["RouteTableAssociationId"])
        ec2.delete_route_table(RouteTableId=identifier)

    def compared(self, call: Call, name: str, value: Any) -> Any:
        """Routes are a set; empty targets do not count."""
        del call
        if name != "routes" or not isinstance(value, list):
            return value
        routes = [{key: item for key, item in route.items() if not is_empty(item)} for route in value]
        return sorted(routes, key=lambda route: str(sorted(route.items())))

    def _set_routes(self, ec2: Any, identifier: str, old: list[dict[str, Any]], new: list[dict[str, Any]]) -> None:
        def key(route: Mapping[str, Any]) -> tuple[str, ...]:
            return tuple(str(route.get(name) or "") for name in INLINE_DESTINATIONS)

        before, after = {key(route): route for route in old}, {key(route): route for route in new}
        for destination, route in before.items():
            if destination not in after:
                request = route_request(route, INLINE_DESTINATIONS)
                wanted = {name: request[name] for name in INLINE_DESTINATIONS.values() if name in request}
                ec2.delete_route(RouteTableId=identifier, **wanted)
        for destination, route in after.items():
            request = route_request(route, INLINE_DESTINATIONS)
            if destination not in before:
                ec2.create_route(RouteTableId=identifier, **request)
            elif self.compared_route(before[destination]) != self.compared_route(route):
                ec2.replace_route(RouteTableId=identifier, **request)

    @staticmethod
    def compared_route(route: Mapping[str, Any]) -> dict[str, Any]:
        """A route without what is empty."""
        return {key: value for key, value in route.items() if not is_empty(value)}

    def _state(
        self, call: Call, ec2: Any, identifier: str, inputs: Mapping[str, Any], region: str = ""
    ) -> Properties | None:
        table = find_table(ec2, identifier)
        if table is None:
            return None
        place = region or region_of(call, inputs)
        routes = [
            route_properties(route, INLINE_DESTINATIONS)
            for route in table.get("Routes", [])
            if route.get("GatewayId") != "local"
        ]
        return {
            "arn": f"arn:aws:ec2:{place}:{table['OwnerId']}:route-table/{identifier}",
            "ownerId": table["OwnerId"],
            "propagatingVgws": [],
            "region": place,
            "routes": routes,
            "vpcId": table["VpcId"],
            **self.shown_tags(tags_of(table.get("Tags", []))),
        }


class Route(AwsKind):
    """One route of a table that somebody else may own."""

    token = "aws:ec2/route:Route"  # noqa: S105  # no secret
    title = "Route"
    required = frozenset({"routeTableId"})
    optional = frozenset(ROUTE_DESTINATIONS) | frozenset(ROUTE_TARGETS) - {"networkInterfaceId"}
    optional_computed = frozenset({"networkInterfaceId"})
    not_simulated = frozenset({"coreNetworkArn", "odbNetworkArn"})
    outputs = frozenset({"instanceId", "instanceOwnerId", "origin", "state"})
    replaces = frozenset({"routeTableId", *ROUTE_DESTINATIONS})

    def check(self, call: Call, inputs: Properties) -> list[Failure]:
        """One destination and one target."""
        failures = super().check(call, inputs)
        for names, what in ((ROUTE_DESTINATIONS, "destination"), (ROUTE_TARGETS, "target")):
            given = sorted(name for name in names if not is_empty(inputs.get(name)))
            if len(given) != 1:
                reason = f"one {what} of {', '.join(sorted(names))} must be specified, found {given or 'none'}"
                failures.append(Failure("", f"Invalid combination of arguments: {reason}"))
        return failures

    def create(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        """Create and wait until the table shows it."""
        ec2 = self.ec2(call, inputs)
        ec2.create_route(RouteTableId=inputs["routeTableId"], **route_request(inputs, ROUTE_DESTINATIONS))
        identifier = f"r-{inputs['routeTableId']}{zlib.crc32(self._destination(inputs).encode())}"
        call.note_created(identifier, {**inputs, "region": region_of(call, inputs)})
        call.wait_until(lambda: self._find(ec2, inputs) is not None, reason=lambda: "waiting for Route create")
        return identifier, self._state(call, ec2, inputs) or {}

    def read(self, call: Call, identifier: str, state: Properties, inputs: Properties) -> Found | None:
        """The route; to import it, its id is `TABLE_DESTINATION`."""
        wanted, kept = dict(state), None
        if "_" in identifier:
            table, _, destination = identifier.partition("_")
            name = "destinationIpv6CidrBlock" if ":" in destination else "destinationCidrBlock"
            name = "destinationPrefixListId" if destination.startswith("pl-") else name
            wanted = {**state, "routeTableId": table, name: destination}
            kept = f"r-{table}{zlib.crc32(destination.encode())}"
        present = self._state(call, self.ec2(call, wanted), wanted)
        return self.found(present, inputs, identifier=kept) if present else None

    def update(self, call: Call, identifier: str, change: Change) -> Properties:
        """Lead it elsewhere."""
        del identifier
        ec2 = self.ec2(call, change.new_inputs)
        request = route_request(change.new_inputs, ROUTE_DESTINATIONS)
        ec2.replace_route(RouteTableId=change.new_inputs["routeTableId"], **request)
        return self._state(call, ec2, change.new_inputs) or {}

    def delete(self, call: Call, identifier: str, state: Properties) -> None:
        """Delete; no error if route or table has gone."""
        del identifier
        wanted = {theirs: state[ours] for ours, theirs in ROUTE_DESTINATIONS.items() if state.get(ours)}
        try:
            self.ec2(call, state).delete_route(RouteTableId=state["routeTableId"], **wanted)
        except ClientError as error:
            if code_of(error) not in TABLE_GONE | {"InvalidRoute.NotFound"}:
                raise

    @staticmethod
    def _destination(properties: Mapping[str, Any]) -> str:
        return next(str(properties[name]) for name in ROUTE_DESTINATIONS if properties.get(name))

    def _find(self, ec2: Any, properties: Mapping[str, Any]) -> dict[str, Any] | None:
        table = find_table(ec2, str(properties["routeTableId"]))
        wanted = self._destination(properties)
        for route in (table or {}).get("Routes", []):
            if wanted in (route.get(name) for name in ROUTE_DESTINATIONS.values()):
                return dict(route)
        return None

    def _state(self, call: Call, ec2: Any, properties: Mapping[str, Any]) -> Properties | None:
        route = self._find(ec2, properties)
        if route is None:
            return None
        return {
            **route_properties(route, ROUTE_DESTINATIONS),
            "routeTableId": properties["routeTableId"],
            "instanceId": route.get("InstanceId", ""),
            "instanceOwnerId": route.get("InstanceOwnerId", ""),
            "origin": route.get("Origin", "CreateRoute"),
            "state": route.get("State", "active"),
            "region": region_of(call, properties),
        }


class RouteTableAssociation(AwsKind):
    """The explicit association of a subnet with a route table."""

    token = "aws:ec2/routeTableAssociation:RouteTableAssociation"  # noqa: S105  # no secret
    title = "Route Table Association"
    required = frozenset({"routeTableId"})
    optional = frozenset({"subnetId", "gatewayId"})
    replaces = frozenset({"subnetId", "gatewayId"})

    def check(self, call: Call, inputs: Properties) -> list[Failure]:
        """A subnet or a gateway."""
        failures = super().check(call, inputs)
        if is_empty(inputs.get("subnetId")) == is_empty(inputs.get("gatewayId")):
            reason = "one of `gateway_id,subnet_id` must be specified"
            failures.append(Failure("", f"Invalid combination of arguments: {reason}"))
        return failures

    def create(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        """Associate; a subnet with another explicit association is refused by EC2."""
        ec2 = self.ec2(call, inputs)
        request = {"RouteTableId": inputs["routeTableId"]}
        if inputs.get("subnetId"):
            request["SubnetId"] = inputs["subnetId"]
        else:
            request["GatewayId"] = inputs["gatewayId"]
        identifier = ec2.associate_route_table(**request)["AssociationId"]
        return identifier, self._shown(call, inputs, inputs)

    def read(self, call: Call, identifier: str, state: Properties, inputs: Properties) -> Found | None:
        """The association; to import it, its id is `SUBNET/TABLE`.

        A replaced association has another id than the one in the state; it is then found by its subnet.
        """
        ec2 = self.ec2(call, state)
        if "/" in identifier:
            target, _, table = identifier.partition("/")
            found = self._find(ec2, {"association.subnet-id": [target]}, subnet=target)
            if found is None or found["RouteTableId"] != table:
                return None
        else:
            wanted = {"association.route-table-association-id": [identifier]}
            found = self._find(ec2, wanted, identifier=identifier)
            if found is None and state.get("subnetId"):
                subnet = str(state["subnetId"])
                found = self._find(ec2, {"association.subnet-id": [subnet]}, subnet=subnet)
                if found and found["RouteTableId"] != state.get("routeTableId"):
                    found = None
        if found is None:
            return None
        present = {
            "routeTableId": found["RouteTableId"],
            "subnetId": found.get("SubnetId"),
            "gatewayId": found.get("GatewayId"),
        }
        return self.found(self._shown(call, present, state), inputs, identifier=found["RouteTableAssociationId"])

    def update(self, call: Call, identifier: str, change: Change) -> Properties:
        """Move to another table in one step."""
        ec2 = self.ec2(call, change.new_inputs)
        if change.new_inputs["routeTableId"] == change.old_state.get("routeTableId"):
            return super().update(call, identifier, change)
        ec2.replace_route_table_association(
            AssociationId=self._present(ec2, identifier, change.old_state),
            RouteTableId=change.new_inputs["routeTableId"],
        )
        return self._shown(call, change.new_inputs, change.new_inputs)

    def delete(self, call: Call, identifier: str, state: Properties) -> None:
        """Disassociate; no error if it has gone."""
        ec2 = self.ec2(call, state)
        try:
            ec2.disassociate_route_table(AssociationId=self._present(ec2, identifier, state))
        except ClientError as error:
            if code_of(error) not in ASSOCIATION_GONE:
                raise

    def _present(self, ec2: Any, identifier: str, state: Mapping[str, Any]) -> str:
        """The association's id today: moving it to another table has given it a new one."""
        wanted = {"association.route-table-association-id": [identifier]}
        found = self._find(ec2, wanted, identifier=identifier)
        subnet = state.get("subnetId")
        if found is None and subnet:
            found = self._find(ec2, {"association.subnet-id": [subnet]}, subnet=subnet)
            if found and found["RouteTableId"] != state.get("routeTableId"):
                found = None
        return str(found["RouteTableAssociationId"]) if found else identifier

    @staticmethod
    def _shown(call: Call, properties: Mapping[str, Any], place: Mapping[str, Any]) -> Properties:
        return {
            "routeTableId": properties["routeTableId"],
            "subnetId": properties.get("subnetId"),
            "gatewayId": properties.get("gatewayId"),
            "region": region_of(call, place),
        }

    @staticmethod
    def _find(
        ec2: Any, filters: Mapping[str, list[str]], *, identifier: str = "", subnet: str = ""
    ) -> dict[str, Any] | None:
        for table in ec2.describe_route_tables(Filters=filter_list(filters))["RouteTables"]:
            for association in table.get("Associations", []):
                if identifier == association["RouteTableAssociationId"] or (
                    subnet and association.get("SubnetId") == subnet
                ):
                    return dict(association)
        return None


class NetworkAclAssociation(AwsKind):
    """Which network ACL a subnet has: creation replaces the association that every subnet has."""

    token = "aws:ec2/networkAclAssociation:NetworkAclAssociation"  # noqa: S105  # no secret
    title = "EC2 Network ACL Association"
    required = frozenset({"networkAclId", "subnetId"})
    replaces = frozenset({"networkAclId", "subnetId"})

    def create(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        """Replace the subnet's present association."""
        ec2 = self.ec2(call, inputs)
        present = self._find(ec2, subnet=inputs["subnetId"])
        if present is None:
            raise ProviderError(f"creating {self.title}: subnet {inputs['subnetId']} has no network ACL association")
        answer = ec2.replace_network_acl_association(
            AssociationId=present["NetworkAclAssociationId"], NetworkAclId=inputs["networkAclId"]
        )
        return answer["NewAssociationId"], self._shown(call, inputs, inputs)

    def read(self, call: Call, identifier: str, state: Properties, inputs: Properties) -> Found | None:
        """The association, by its id."""
        found = self._find(self.ec2(call, state), identifier=identifier)
        if found is None:
            return None
        present = {"networkAclId": found["NetworkAclId"], "subnetId": found["SubnetId"]}
        return self.found(self._shown(call, present, state), inputs)

    def delete(self, call: Call, identifier: str, state: Properties) -> None:
        """Give the subnet the default network ACL of its VPC back."""
        ec2 = self.ec2(call, state)
        found = self._find(ec2, identifier=identifier)
        if found is None:
            return
        own = ec2.describe_network_acls(NetworkAclIds=[found["NetworkAclId"]])["NetworkAcls"][0]
        filters = filter_list({"vpc-id": [own["VpcId"]], "default": ["true"]})
        default = ec2.describe_network_acls(Filters=filters)["NetworkAcls"][0]
        try:
            ec2.replace_network_acl_association(AssociationId=identifier, NetworkAclId=default["NetworkAclId"])
        except ClientError as error:
            if code_of(error) not in ASSOCIATION_GONE:
                raise

    @staticmethod
    def _shown(call: Call, properties: Mapping[str, Any], place: Mapping[str, Any]) -> Properties:
        return {
            "networkAclId": properties["networkAclId"],
            "subnetId": properties["subnetId"],
            "region": region_of(call, place),
        }

    @staticmethod
    def _find(ec2: Any, *, identifier: str = "", subnet: str = "") -> dict[str, Any] | None:
        wanted = {"association.association-id": [identifier]} if identifier else {"association.subnet-id": [subnet]}
        for acl in ec2.describe_network_acls(Filters=filter_list(wanted))["NetworkAcls"]:
            for association in acl.get("Associations", []):
                if identifier == association["NetworkAclAssociationId"] or subnet == association["SubnetId"]:
                    return dict(association)
        return None


class SecurityGroupRule(TaggedKind):
    """One rule of a security group; the two types differ in the direction only."""

    egress = False
    required = frozenset({"securityGroupId", "ipProtocol"})
    optional = frozenset(
        {
            "cidrIpv4",
            "cidrIpv6",
            "description",
            "fromPort",
            "toPort",
            "prefixListId",
            "referencedSecurityGroupId",
            "tags",
        }
    )
    outputs = frozenset({"arn", "securityGroupRuleId", "tagsAll"})
    replaces = frozenset({"securityGroupId"})

    sources = ("cidrIpv4", "cidrIpv6", "prefixListId", "referencedSecurityGroupId")

    def check(self, call: Call, inputs: Properties) -> list[Failure]:
        """Exactly one source, and a CIDR that is one."""
        failures = super().check(call, inputs) + cidr_failures("cidrIpv4", "cidr_ipv4", inputs)
        given = [name for name in self.sources if not is_empty(inputs.get(name))]
        if len(given) != 1:
            reason = f"exactly one of {', '.join(self.sources)} must be specified, found {given or 'none'}"
            failures.append(Failure("", f"Invalid Attribute Combination: {reason}"))
        return failures

    def create(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        """Authorize the rule with its tags."""
        ec2 = self.ec2(call, inputs)
        authorize = ec2.authorize_security_group_egress if self.egress else ec2.authorize_security_group_ingress
        answer = authorize(
            GroupId=inputs["securityGroupId"],
            IpPermissions=[self._permission(inputs)],
            **tag_specifications("security-group-rule", self.all_tags(inputs)),
        )
        identifier = answer["SecurityGroupRules"][0]["SecurityGroupRuleId"]
        call.note_created(identifier, {**inputs, "region": region_of(call, inputs)})
        return identifier, self._state(call, ec2, identifier, inputs) or {}

    def read(self, call: Call, identifier: str, state: Properties, inputs: Properties) -> Found | None:
        """The rule as EC2 describes it."""
        present = self._state(call, self.ec2(call, state), identifier, inputs or state, region_of(call, state))
        return self.found(present, inputs) if present else None

    def update(self, call: Call, identifier: str, change: Change) -> Properties:
        """Change the rule itself if anything but tags differs."""
        ec2 = self.ec2(call, change.new_inputs)
        self.update_tags(call, identifier, change)
        if any(item.top != "tags" for item in self.differences(call, change)):
            ec2.modify_security_group_rules(
                GroupId=change.new_inputs["securityGroupId"],
                SecurityGroupRules=[
                    {
                        "SecurityGroupRuleId": identifier,
                        "SecurityGroupRule": self._rule(change.new_inputs),
                    }
                ],
            )
        return self._state(call, ec2, identifier, change.new_inputs) or {}

    def delete(self, call: Call, identifier: str, state: Properties) -> None:
        """Revoke the rule; no error if it or its group has gone."""
        ec2 = self.ec2(call, state)
        revoke = ec2.revoke_security_group_egress if self.egress else ec2.revoke_security_group_ingress
        try:
            revoke(GroupId=state["securityGroupId"], SecurityGroupRuleIds=[identifier])
        except ClientError as error:
            if code_of(error) not in {
                "InvalidGroup.NotFound",
                "InvalidSecurityGroupRuleId.NotFound",
                "InvalidPermission.NotFound",
            }:
                raise

    def compared(self, call: Call, name: str, value: Any) -> Any:
        """Protocols have numbers and names; -1 is every port."""
        del call
        if name == "ipProtocol":
            return {"6": "tcp", "17": "udp", "1": "icmp", "all": "-1"}.get(str(value), str(value))
        return None if name in ("fromPort", "toPort") and value == -1 else value

    @staticmethod
    def _permission(inputs: Mapping[str, Any]) -> dict[str, Any]:
        described = {"Description": inputs["description"]} if inputs.get("description") else {}
        permission: dict[str, Any] = {"IpProtocol": str(inputs["ipProtocol"])}
        for ours, theirs in (("fromPort", "FromPort"), ("toPort", "ToPort")):
            if inputs.get(ours) is not None:
                permission[theirs] = int(inputs[ours])
        if inputs.get("cidrIpv4"):
            permission["IpRanges"] = [{"CidrIp": inputs["cidrIpv4"], **described}]
        elif inputs.get("cidrIpv6"):
            permission["Ipv6Ranges"] = [{"CidrIpv6": inputs["cidrIpv6"], **described}]
        elif inputs.get("prefixListId"):
            permission["PrefixListIds"] = [{"PrefixListId": inputs["prefixListId"], **described}]
        else:
            group = {"GroupId": inputs["referencedSecurityGroupId"], **described}
            permission["UserIdGroupPairs"] = [group]
        return permission

    @staticmethod
    def _rule(inputs: Mapping[str, Any]) -> dict[str, Any]:
        names = {
            "ipProtocol": "IpProtocol",
            "fromPort": "FromPort",
            "toPort": "ToPort",
            "cidrIpv4": "CidrIpv4",
            "cidrIpv6": "CidrIpv6",
            "prefixListId": "PrefixListId",
            "referencedSecurityGroupId": "ReferencedGroupId",
            "description": "Description",
        }
        return {theirs: inputs[ours] for ours, theirs in names.items() if inputs.get(ours) is not None}

    def _state(
        self, call: Call, ec2: Any, identifier: str, inputs: Mapping[str, Any], region: str = ""
    ) -> Properties | None:
        try:
            found = ec2.describe_security_group_rules(SecurityGroupRuleIds=[identifier])
        except ClientError as error:
            if code_of(error) == "InvalidSecurityGroupRuleId.NotFound":
                return None
            raise
        rule = next(iter(found["SecurityGroupRules"]), None)
        if rule is None or rule["IsEgress"] != self.egress:
            return None
        place = region or region_of(call, inputs)
        every_port = rule["IpProtocol"] == "-1"
        return {
            "arn": f"arn:aws:ec2:{place}:{rule['GroupOwnerId']}:security-group-rule/{identifier}",
            "cidrIpv4": rule.get("CidrIpv4"),
            "cidrIpv6": rule.get("CidrIpv6"),
            "description": rule.get("Description"),
            "fromPort": None if every_port else rule.get("FromPort"),
            "ipProtocol": rule["IpProtocol"],
            "prefixListId": rule.get("PrefixListId"),
            "referencedSecurityGroupId": (rule.get("ReferencedGroupInfo") or {}).get("GroupId"),
            "region": place,
            "securityGroupId": rule["GroupId"],
            "securityGroupRuleId": identifier,
            "toPort": None if every_port else rule.get("ToPort"),
            **self.shown_tags(tags_of(rule.get("Tags", []))),
        }


class SecurityGroupIngressRule(SecurityGroupRule):
    """A rule for what may come in."""

    token = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"  # noqa: S105  # no secret
    title = "VPC Security Group Rule"
    egress = False


class SecurityGroupEgressRule(SecurityGroupRule):
    """A rule for what may go out."""

    token = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"  # noqa: S105  # no secret
    title = "VPC Security Group Rule"
    egress = True


class Tag(AwsKind):
    """One tag of something that somebody else makes."""

    token = "aws:ec2/tag:Tag"  # noqa: S105  # no secret
    title = "EC2 Tag"
    required = frozenset({"key", "resourceId", "value"})
    replaces = frozenset({"key", "resourceId"})

    def create(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        """Set it, over whatever was there."""
        self._set(call, inputs)
        return f"{inputs['resourceId']},{inputs['key']}", self._state(call, inputs["value"], inputs)

    def read(self, call: Call, identifier: str, state: Properties, inputs: Properties) -> Found | None:
        """The tag as it is; its id is `RESOURCE,KEY`."""
        resource, _, key = identifier.partition(",")
        filters = filter_list({"resource-id": [resource], "key": [key]})
        found = self.ec2(call, state).describe_tags(Filters=filters)["Tags"]
        if not found:
            return None
        place = {**state, "resourceId": resource, "key": key}
        return self.found(self._state(call, found[0]["Value"], place), inputs)

    def update(self, call: Call, identifier: str, change: Change) -> Properties:
        """Another value."""
        del identifier
        self._set(call, change.new_inputs)
        return self._state(call, change.new_inputs["value"], change.new_inputs)

    def delete(self, call: Call, identifier: str, state: Properties) -> None:
        """Take it away; no error if it, or what it is on, has gone."""
        del identifier
        try:
            self.ec2(call, state).delete_tags(Resources=[state["resourceId"]], Tags=[{"Key": state["key"]}])
        except ClientError as error:
            if not code_of(error).endswith(".NotFound"):
                raise

    def _set(self, call: Call, inputs: Properties) -> None:
        tags = [{"Key": inputs["key"], "Value": inputs["value"]}]
        self.ec2(call, inputs).create_tags(Resources=[inputs["resourceId"]], Tags=tags)

    @staticmethod
    def _state(call: Call, value: str, place: Mapping[str, Any]) -> Properties:
        return {
            "key": place["key"],
            "resourceId": place["resourceId"],
            "value": value,
            "region": region_of(call, place),
        }


class SubnetCidrReservation(AwsKind):
    """A range of a subnet that is set aside."""

    token = "aws:ec2/subnetCidrReservation:SubnetCidrReservation"  # noqa: S105  # no secret
    title = "EC2 Subnet CIDR Reservation"
    required = frozenset({"cidrBlock", "reservationType", "subnetId"})
    optional = frozenset({"description"})
    outputs = frozenset({"ownerId"})
    replaces = frozenset({"cidrBlock", "reservationType", "subnetId", "description"})

    def check(self, call: Call, inputs: Properties) -> list[Failure]:
        """The CIDR has to be one, the type one of two."""
        failures = super().check(call, inputs) + cidr_failures("cidrBlock", "cidr_block", inputs)
        kind = inputs.get("reservationType")
        if kind not in (None, UNKNOWN, "prefix", "explicit"):
            reason = f'expected reservation_type to be one of ["prefix" "explicit"], got {kind}'
            failures.append(Failure("reservationType", reason))
        return failures

    def create(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        """Reserve; EC2 allows five calls at once and then one a second, the client waits and repeats."""
        ec2 = self.ec2(call, inputs)
        request = {
            "SubnetId": inputs["subnetId"],
            "Cidr": inputs["cidrBlock"],
            "ReservationType": inputs["reservationType"],
        }
        if inputs.get("description"):
            request["Description"] = inputs["description"]
        answer = ec2.create_subnet_cidr_reservation(**request)
        identifier = answer["SubnetCidrReservation"]["SubnetCidrReservationId"]
        call.note_created(identifier, {**inputs, "region": region_of(call, inputs)})
        return identifier, self._state(call, ec2, identifier, inputs["subnetId"], inputs) or {}

    def read(self, call: Call, identifier: str, state: Properties, inputs: Properties) -> Found | None:
        """The reservation; to import it, its id is `SUBNET:RESERVATION`."""
        subnet, _, imported = identifier.partition(":")
        kept = imported or None
        subnet = subnet if imported else str(state.get("subnetId", ""))
        present = self._state(call, self.ec2(call, state), kept or identifier, subnet, state)
        return self.found(present, inputs, identifier=kept) if present else None

    def delete(self, call: Call, identifier: str, state: Properties) -> None:
        """Give the range back; no error if it has gone."""
        try:
            self.ec2(call, state).delete_subnet_cidr_reservation(SubnetCidrReservationId=identifier)
        except ClientError as error:
            if code_of(error) != "InvalidSubnetCidrReservationID.NotFound":
                raise

    def _state(self, call: Call, ec2: Any, identifier: str, subnet: str, place: Mapping[str, Any]) -> Properties | None:
        try:
            found = ec2.get_subnet_cidr_reservations(SubnetId=subnet)
        except ClientError as error:
            if code_of(error) in SUBNET_GONE:
                return None
            raise
        both = found.get("SubnetIpv4CidrReservations", []) + found.get("SubnetIpv6CidrReservations", [])
        for item in both:
            if item["SubnetCidrReservationId"] == identifier:
                return {
                    "cidrBlock": item["Cidr"],
                    "description": item.get("Description") or None,
                    "ownerId": item["OwnerId"],
                    "region": region_of(call, place),
                    "reservationType": item["ReservationType"],
                    "subnetId": item["SubnetId"],
                }
        return None


KINDS = (
    VpcIpv4CidrBlockAssociation(),
    Subnet(),
    RouteTable(),
    Route(),
    RouteTableAssociation(),
    NetworkAclAssociation(),
    SecurityGroupIngressRule(),
    SecurityGroupEgressRule(),
    Tag(),
    SubnetCidrReservation(),
)
