"""The invokes of `aws` that programs and hooks use to look things up."""

from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from headroom.rehearsal.providers.aws_api import client, code_of, filter_list, region_of, tags_of
from headroom.rehearsal.providers.aws_network import (
    INLINE_DESTINATIONS,
    ROUTE_TARGETS,
)
from headroom.rehearsal.providers.common import Call, Function, ProviderError
from headroom.rehearsal.providers.values import Properties

_ATTRIBUTES = {"enableDnsHostnames": "EnableDnsHostnames", "enableDnsSupport": "EnableDnsSupport"}


def _filters(arguments: Properties, names: Mapping[str, str]) -> list[dict[str, Any]]:
    """The API's filters for the arguments: those with a filter of their own, tags, and `filters`."""
    filters = {
        theirs: [_text(arguments[ours])] for ours, theirs in names.items() if arguments.get(ours) not in (None, "")
    }
    filters |= {f"tag:{key}": [value] for key, value in (arguments.get("tags") or {}).items()}
    listed = filter_list(filters)
    listed += [
        {"Name": item["name"], "Values": [_text(value) for value in item["values"]]}
        for item in arguments.get("filters") or []
    ]
    return listed


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _request(arguments: Properties, names: Mapping[str, str]) -> dict[str, Any]:
    filters = _filters(arguments, names)
    return {"Filters": filters} if filters else {}


def _one(found: list[dict[str, Any]], what: str) -> dict[str, Any]:
    if not found:
        raise ProviderError(f"no matching {what} found")
    if len(found) > 1:
        raise ProviderError(
            f"multiple {what}s matched; use additional constraints to reduce matches to a single {what}"
        )
    return found[0]


def _ec2(call: Call, arguments: Properties) -> Any:
    return client("ec2", region_of(call, arguments))


def _echo(call: Call, arguments: Properties) -> Properties:
    """What every result repeats of the question."""
    return {"filters": arguments.get("filters"), "region": region_of(call, arguments)}


def get_vpc(call: Call, arguments: Properties) -> Properties:
    """One VPC."""
    ec2 = _ec2(call, arguments)
    names = {
        "cidrBlock": "cidr",
        "default": "is-default",
        "dhcpOptionsId": "dhcp-options-id",
        "state": "state",
        "id": "vpc-id",
    }
    vpc = _one(ec2.describe_vpcs(**_request(arguments, names))["Vpcs"], "EC2 VPC")
    identifier = vpc["VpcId"]
    attributes = {
        ours: ec2.describe_vpc_attribute(VpcId=identifier, Attribute=ours)[theirs]["Value"]
        for ours, theirs in _ATTRIBUTES.items()
    }
    main = ec2.describe_route_tables(Filters=filter_list({"vpc-id": [identifier], "association.main": ["true"]}))[
        "RouteTables"
    ]
    region = region_of(call, arguments)
    return {
        **_echo(call, arguments),
        **attributes,
        "arn": f"arn:aws:ec2:{region}:{vpc['OwnerId']}:vpc/{identifier}",
        "cidrBlock": vpc["CidrBlock"],
        "cidrBlockAssociations": [
            {
                "associationId": item["AssociationId"],
                "cidrBlock": item["CidrBlock"],
                "state": item["CidrBlockState"]["State"],
            }
            for item in vpc.get("CidrBlockAssociationSet", [])
        ],
        "default": vpc["IsDefault"],
        "dhcpOptionsId": vpc["DhcpOptionsId"],
        "enableNetworkAddressUsageMetrics": False,
        "id": identifier,
        "instanceTenancy": vpc["InstanceTenancy"],
        "ipv6AssociationId": "",
        "ipv6CidrBlock": "",
        "ipv6CidrBlockAssociations": [],
        "mainRouteTableId": main[0]["RouteTableId"] if main else "",
        "ownerId": vpc["OwnerId"],
        "state": vpc["State"],
        "tags": tags_of(vpc.get("Tags", [])),
    }


_SUBNET_NAMES = {
    "availabilityZone": "availabilityZone",
    "availabilityZoneId": "availabilityZoneId",
    "cidrBlock": "cidrBlock",
    "defaultForAz": "defaultForAz",
    "id": "subnet-id",
    "state": "state",
    "vpcId": "vpc-id",
}


def get_subnet(call: Call, arguments: Properties) -> Properties:
    """One subnet."""
    found = _ec2(call, arguments).describe_subnets(**_request(arguments, _SUBNET_NAMES))["Subnets"]
    subnet = _one(found, "EC2 Subnet")
    names = subnet.get("PrivateDnsNameOptionsOnLaunch", {})
    return {
        **_echo(call, arguments),
        "arn": subnet["SubnetArn"],
        "assignIpv6AddressOnCreation": subnet["AssignIpv6AddressOnCreation"],
        "availabilityZone": subnet["AvailabilityZone"],
        "availabilityZoneId": subnet["AvailabilityZoneId"],
        "availableIpAddressCount": subnet["AvailableIpAddressCount"],
        "cidrBlock": subnet["CidrBlock"],
        "customerOwnedIpv4Pool": "",
        "defaultForAz": subnet["DefaultForAz"],
        "enableDns64": subnet.get("EnableDns64", False),
        "enableLniAtDeviceIndex": 0,
        "enableResourceNameDnsARecordOnLaunch": names.get("EnableResourceNameDnsARecord", False),
        "enableResourceNameDnsAaaaRecordOnLaunch": names.get("EnableResourceNameDnsAAAARecord", False),
        "id": subnet["SubnetId"],
        "ipv6CidrBlock": "",
        "ipv6CidrBlockAssociationId": "",
        "ipv6Native": subnet.get("Ipv6Native", False),
        "mapCustomerOwnedIpOnLaunch": False,
        "mapPublicIpOnLaunch": subnet["MapPublicIpOnLaunch"],
        "outpostArn": "",
        "ownerId": subnet["OwnerId"],
        "privateDnsHostnameTypeOnLaunch": names.get("HostnameType", "ip-name"),
        "state": subnet["State"],
        "tags": tags_of(subnet.get("Tags", [])),
        "vpcId": subnet["VpcId"],
    }


def _list(call: Call, arguments: Properties, ids: list[str], extra: Mapping[str, Any] | None = None) -> Properties:
    return {
        **_echo(call, arguments),
        "id": region_of(call, arguments),
        "ids": sorted(ids),
        "tags": arguments.get("tags") or {},
        **(extra or {}),
    }


def get_subnets(call: Call, arguments: Properties) -> Properties:
    """Ids of subnets."""
    found = _ec2(call, arguments).describe_subnets(**_request(arguments, {}))["Subnets"]
    return _list(call, arguments, [item["SubnetId"] for item in found])


def get_route_tables(call: Call, arguments: Properties) -> Properties:
    """Ids of route tables."""
    request = _request(arguments, {"vpcId": "vpc-id"})
    found = _ec2(call, arguments).describe_route_tables(**request)["RouteTables"]
    extra = {"vpcId": arguments.get("vpcId")}
    return _list(call, arguments, [item["RouteTableId"] for item in found], extra)


def get_network_acls(call: Call, arguments: Properties) -> Properties:
    """Ids of network ACLs."""
    request = _request(arguments, {"vpcId": "vpc-id"})
    found = _ec2(call, arguments).describe_network_acls(**request)["NetworkAcls"]
    extra = {"vpcId": arguments.get("vpcId")}
    return _list(call, arguments, [item["NetworkAclId"] for item in found], extra)


def get_network_interfaces(call: Call, arguments: Properties) -> Properties:
    """Ids of network interfaces."""
    found = _ec2(call, arguments).describe_network_interfaces(**_request(arguments, {}))
    return _list(call, arguments, [item["NetworkInterfaceId"] for item in found["NetworkInterfaces"]])


def get_security_group_rules(call: Call, arguments: Properties) -> Properties:
    """Ids of security group rules."""
    found = _ec2(call, arguments).describe_security_group_rules(**_request(arguments, {}))["SecurityGroupRules"]
    return _list(call, arguments, [item["SecurityGroupRuleId"] for item in found])


def get_security_group_rule(call: Call, arguments: Properties) -> Properties:
    """One security group rule."""
    request = _request(arguments, {"securityGroupRuleId": "security-group-rule-id"})
    found = _ec2(call, arguments).describe_security_group_rules(**request)["SecurityGroupRules"]
    rule = _one(found, "EC2 Security Group Rule")
    return {
        **_echo(call, arguments),
        "id": rule["SecurityGroupRuleId"],
        "arn": rule.get("SecurityGroupRuleArn", ""),
        "securityGroupRuleId": rule["SecurityGroupRuleId"],
        "securityGroupId": rule["GroupId"],
        "ipProtocol": rule["IpProtocol"],
        "isEgress": rule["IsEgress"],
        "fromPort": rule.get("FromPort", -1),
        "toPort": rule.get("ToPort", -1),
        "cidrIpv4": rule.get("CidrIpv4", ""),
        "cidrIpv6": rule.get("CidrIpv6", ""),
        "prefixListId": rule.get("PrefixListId", ""),
        "referencedSecurityGroupId": rule.get("ReferencedGroupInfo", {}).get("GroupId", ""),
        "description": rule.get("Description", ""),
        "tags": {tag["Key"]: tag["Value"] for tag in rule.get("Tags", [])},
    }


def get_route_table(call: Call, arguments: Properties) -> Properties:
    """One route table with its routes and associations."""
    names = {
        "routeTableId": "route-table-id",
        "vpcId": "vpc-id",
        "subnetId": "association.subnet-id",
        "gatewayId": "association.gateway-id",
    }
    request = _request(arguments, names)
    table = _one(_ec2(call, arguments).describe_route_tables(**request)["RouteTables"], "EC2 Route Table")
    identifier, region = table["RouteTableId"], region_of(call, arguments)
    targets = {**INLINE_DESTINATIONS, **ROUTE_TARGETS}
    return {
        **_echo(call, arguments),
        "arn": f"arn:aws:ec2:{region}:{table['OwnerId']}:route-table/{identifier}",
        "associations": [
            {
                "gatewayId": item.get("GatewayId", ""),
                "main": item.get("Main", False),
                "routeTableAssociationId": item["RouteTableAssociationId"],
                "routeTableId": item["RouteTableId"],
                "subnetId": item.get("SubnetId", ""),
            }
            for item in table.get("Associations", [])
        ],
        "gatewayId": arguments.get("gatewayId", ""),
        "id": identifier,
        "ownerId": table["OwnerId"],
        "routeTableId": identifier,
        "routes": [
            {"coreNetworkArn": "", "instanceId": ""}
            | {ours: route.get(theirs, "") for ours, theirs in targets.items() if ours != "egressOnlyGatewayId"}
            | {"egressOnlyGatewayId": route.get("EgressOnlyInternetGatewayId", "")}
            for route in table.get("Routes", [])
            if route.get("GatewayId") != "local"
        ],
        "subnetId": arguments.get("subnetId", ""),
        "tags": tags_of(table.get("Tags", [])),
        "vpcId": table["VpcId"],
    }


def get_network_interface(call: Call, arguments: Properties) -> Properties:
    """One network interface: what it is attached to, and its addresses."""
    request = _request(arguments, {})
    if arguments.get("id"):
        request["NetworkInterfaceIds"] = [arguments["id"]]
    try:
        found = _ec2(call, arguments).describe_network_interfaces(**request)["NetworkInterfaces"]
    except ClientError as error:
        if code_of(error) != "InvalidNetworkInterfaceID.NotFound":
            raise
        found = []
    interface = _one(found, "EC2 Network Interface")
    attachment = interface.get("Attachment")
    region, identifier = region_of(call, arguments), interface["NetworkInterfaceId"]
    return {
        **_echo(call, arguments),
        "arn": f"arn:aws:ec2:{region}:{interface['OwnerId']}:network-interface/{identifier}",
        "associations": [],
        "attachments": [
            {
                "attachmentId": attachment["AttachmentId"],
                "deviceIndex": attachment["DeviceIndex"],
                "instanceId": attachment.get("InstanceId", ""),
                "instanceOwnerId": attachment.get("InstanceOwnerId", ""),
                "networkCardIndex": attachment.get("NetworkCardIndex", 0),
            }
        ]
        if attachment
        else [],
        "availabilityZone": interface["AvailabilityZone"],
        "description": interface.get("Description", ""),
        "enaSrdSpecifications": [],
        "id": identifier,
        "interfaceType": interface.get("InterfaceType", "interface"),
        "ipv6Addresses": [item["Ipv6Address"] for item in interface.get("Ipv6Addresses", [])],
        "macAddress": interface["MacAddress"],
        "outpostArn": "",
        "ownerId": interface["OwnerId"],
        "privateDnsName": interface.get("PrivateDnsName", ""),
        "privateIp": interface["PrivateIpAddress"],
        "privateIps": [item["PrivateIpAddress"] for item in interface["PrivateIpAddresses"]],
        "requesterId": interface.get("RequesterId", ""),
        "securityGroups": [item["GroupId"] for item in interface.get("Groups", [])],
        "subnetId": interface["SubnetId"],
        "tags": tags_of(interface.get("TagSet", [])),
        "vpcId": interface["VpcId"],
    }


def get_instance(call: Call, arguments: Properties) -> Properties:
    """One instance: what names a node."""
    request = _request({**arguments, "tags": arguments.get("instanceTags")}, {})
    if arguments.get("instanceId"):
        request["InstanceIds"] = [arguments["instanceId"]]
    try:
        reservations = _ec2(call, arguments).describe_instances(**request)["Reservations"]
    except ClientError as error:
        if code_of(error) != "InvalidInstanceID.NotFound":
            raise
        reservations = []
    found = [
        item
        for reservation in reservations
        for item in reservation["Instances"]
        if item["State"]["Name"] != "terminated"
    ]
    instance = _one(found, "EC2 Instance")
    region, identifier = region_of(call, arguments), instance["InstanceId"]
    interfaces = instance.get("NetworkInterfaces", [])
    primary: Mapping[str, Any] = next((item for item in interfaces if item["Attachment"]["DeviceIndex"] == 0), {})
    owner = next((item["OwnerId"] for item in reservations), "")
    return {
        **_echo(call, arguments),
        "ami": instance.get("ImageId", ""),
        "arn": f"arn:aws:ec2:{region}:{owner}:instance/{identifier}",
        "associatePublicIpAddress": bool(instance.get("PublicIpAddress")),
        "availabilityZone": instance["Placement"]["AvailabilityZone"],
        "creditSpecifications": [],
        "disableApiStop": False,
        "disableApiTermination": False,
        "ebsBlockDevices": [],
        "ebsOptimized": instance.get("EbsOptimized", False),
        "enclaveOptions": [],
        "ephemeralBlockDevices": [],
        "getPasswordData": bool(arguments.get("getPasswordData")),
        "getUserData": bool(arguments.get("getUserData")),
        "hostId": "",
        "hostResourceGroupArn": "",
        "iamInstanceProfile": (instance.get("IamInstanceProfile") or {}).get("Arn", ""),
        "id": identifier,
        "instanceId": identifier,
        "instanceState": instance["State"]["Name"],
        "instanceTags": arguments.get("instanceTags") or {},
        "instanceType": instance["InstanceType"],
        "ipv6Addresses": [],
        "keyName": instance.get("KeyName", ""),
        "launchTime": instance["LaunchTime"].isoformat(),
        "maintenanceOptions": [],
        "metadataOptions": [],
        "monitoring": instance.get("Monitoring", {}).get("State") == "enabled",
        "networkInterfaceId": primary.get("NetworkInterfaceId", ""),
        "outpostArn": "",
        "passwordData": "",
        "placementGroup": "",
        "placementGroupId": "",
        "placementPartitionNumber": 0,
        "privateDns": instance.get("PrivateDnsName", ""),
        "privateDnsNameOptions": [],
        "privateIp": instance.get("PrivateIpAddress", ""),
        "publicDns": instance.get("PublicDnsName", ""),
        "publicIp": instance.get("PublicIpAddress", ""),
        "rootBlockDevices": [],
        "secondaryPrivateIps": [
            item["PrivateIpAddress"] for item in primary.get("PrivateIpAddresses", []) if not item.get("Primary")
        ],
        "securityGroups": [],
        "sourceDestCheck": instance.get("SourceDestCheck", True),
        "subnetId": instance.get("SubnetId", ""),
        "tags": tags_of(instance.get("Tags", [])),
        "tenancy": instance["Placement"].get("Tenancy", "default"),
        "userData": "",
        "userDataBase64": "",
        "vpcSecurityGroupIds": [item["GroupId"] for item in instance.get("SecurityGroups", [])],
    }


def get_cluster(call: Call, arguments: Properties) -> Properties:
    """One EKS cluster."""
    cluster = client("eks", region_of(call, arguments)).describe_cluster(name=arguments["name"])["cluster"]
    vpc, network = cluster.get("resourcesVpcConfig", {}), cluster.get("kubernetesNetworkConfig", {})
    issuer = cluster.get("identity", {}).get("oidc", {}).get("issuer", "")
    logging = [
        kind
        for item in cluster.get("logging", {}).get("clusterLogging", [])
        if item.get("enabled")
        for kind in item.get("types", [])
    ]
    return {
        "region": region_of(call, arguments),
        "accessConfigs": [],
        "arn": cluster["arn"],
        "certificateAuthorities": [{"data": cluster.get("certificateAuthority", {}).get("data", "")}],
        "clusterId": "",
        "computeConfigs": [],
        "controlPlaneScalingConfigs": [],
        "createdAt": cluster["createdAt"].isoformat(),
        "deletionProtection": False,
        "enabledClusterLogTypes": sorted(logging),
        "endpoint": cluster.get("endpoint", ""),
        "id": cluster["name"],
        "identities": [{"oidcs": [{"issuer": issuer}]}],
        "kubeApiServerConfigs": [],
        "kubeControllerManagerConfigs": [],
        "kubeSchedulerConfigs": [],
        "kubernetesNetworkConfigs": [
            {
                "elasticLoadBalancings": [],
                "ipFamily": network.get("ipFamily", "ipv4"),
                "serviceIpv4Cidr": network.get("serviceIpv4Cidr", ""),
                "serviceIpv6Cidr": network.get("serviceIpv6Cidr", ""),
            }
        ],
        "name": cluster["name"],
        "outpostConfigs": [],
        "platformVersion": cluster.get("platformVersion", ""),
        "remoteNetworkConfigs": [],
        "roleArn": cluster["roleArn"],
        "status": cluster["status"],
        "storageConfigs": [],
        "tags": cluster.get("tags") or {},
        "upgradePolicies": [],
        "version": cluster["version"],
        "vpcConfig": {
            "clusterSecurityGroupId": vpc.get("clusterSecurityGroupId", ""),
            "controlPlaneEgressMode": "",
            "endpointPrivateAccess": vpc.get("endpointPrivateAccess", False),
            "endpointPublicAccess": vpc.get("endpointPublicAccess", True),
            "publicAccessCidrs": vpc.get("publicAccessCidrs", ["0.0.0.0/0"]),
            "securityGroupIds": vpc.get("securityGroupIds", []),
            "subnetIds": vpc.get("subnetIds", []),
            "vpcId": vpc.get("vpcId", ""),
        },
        "zonalShiftConfigs": [],
    }


def get_addon(call: Call, arguments: Properties) -> Properties:
    """One EKS add-on."""
    cluster, name = arguments["clusterName"], arguments["addonName"]
    eks = client("eks", region_of(call, arguments))
    addon = eks.describe_addon(clusterName=cluster, addonName=name)["addon"]
    return {
        "region": region_of(call, arguments),
        "addonName": name,
        "addonVersion": addon["addonVersion"],
        "arn": addon["addonArn"],
        "clusterName": cluster,
        "configurationValues": addon.get("configurationValues", ""),
        "createdAt": addon["createdAt"].isoformat(),
        "id": f"{cluster}:{name}",
        "modifiedAt": addon["modifiedAt"].isoformat(),
        "podIdentityAssociations": [],
        "serviceAccountRoleArn": addon.get("serviceAccountRoleArn", ""),
        "tags": addon.get("tags") or {},
    }


def get_node_group(call: Call, arguments: Properties) -> Properties:
    """One managed node group."""
    cluster, name = arguments["clusterName"], arguments["nodeGroupName"]
    eks = client("eks", region_of(call, arguments))
    group = eks.describe_nodegroup(clusterName=cluster, nodegroupName=name)["nodegroup"]
    return {
        "region": region_of(call, arguments),
        "amiType": group.get("amiType", ""),
        "arn": group["nodegroupArn"],
        "capacityType": group.get("capacityType", ""),
        "clusterName": cluster,
        "diskSize": group.get("diskSize", 0),
        "id": f"{cluster}:{name}",
        "instanceTypes": group.get("instanceTypes") or [],
        "labels": group.get("labels") or {},
        "launchTemplates": [],
        "nodeGroupName": name,
        "nodeRoleArn": group["nodeRole"],
        "releaseVersion": group.get("releaseVersion", ""),
        "remoteAccesses": [],
        "resources": [],
        "scalingConfigs": [group["scalingConfig"]],
        "status": group["status"],
        "subnetIds": sorted(group["subnets"]),
        "tags": group.get("tags") or {},
        "taints": [],
        "updateConfigs": [],
        "version": group.get("version", ""),
        "warmPoolConfigs": [],
    }


def get_caller_identity(call: Call, arguments: Properties) -> Properties:
    """Who is calling."""
    identity = client("sts", region_of(call, arguments)).get_caller_identity()
    return {
        "accountId": identity["Account"],
        "arn": identity["Arn"],
        "id": identity["Account"],
        "userId": identity["UserId"],
    }


def get_region(call: Call, arguments: Properties) -> Properties:
    """The Region in use."""
    name = arguments.get("name") or region_of(call, arguments)
    return {
        "description": name,
        "endpoint": f"ec2.{name}.amazonaws.com",
        "id": name,
        "name": name,
        "region": name,
    }


def get_secret_version(call: Call, arguments: Properties) -> Properties:
    """A version of a secret of Secrets Manager."""
    names = {"secretId": "SecretId", "versionId": "VersionId", "versionStage": "VersionStage"}
    request = {theirs: arguments[ours] for ours, theirs in names.items() if arguments.get(ours)}
    found = client("secretsmanager", region_of(call, arguments)).get_secret_value(**request)
    return {
        "arn": found["ARN"],
        "createdDate": found["CreatedDate"].isoformat(),
        "id": f"{arguments['secretId']}|{found['VersionId']}",
        "region": region_of(call, arguments),
        "secretArn": found["ARN"],
        "secretBinary": "",
        "secretId": arguments["secretId"],
        "secretString": found.get("SecretString", ""),
        "versionId": found["VersionId"],
        "versionStage": arguments.get("versionStage", ""),
        "versionStages": found.get("VersionStages", []),
    }


FUNCTIONS: dict[str, Function] = {
    "aws:ec2/getVpc:getVpc": get_vpc,
    "aws:ec2/getSubnet:getSubnet": get_subnet,
    "aws:ec2/getSubnets:getSubnets": get_subnets,
    "aws:ec2/getRouteTable:getRouteTable": get_route_table,
    "aws:ec2/getRouteTables:getRouteTables": get_route_tables,
    "aws:ec2/getNetworkAcls:getNetworkAcls": get_network_acls,
    "aws:vpc/getSecurityGroupRule:getSecurityGroupRule": get_security_group_rule,
    "aws:vpc/getSecurityGroupRules:getSecurityGroupRules": get_security_group_rules,
    "aws:ec2/getNetworkInterface:getNetworkInterface": get_network_interface,
    "aws:ec2/getNetworkInterfaces:getNetworkInterfaces": get_network_interfaces,
    "aws:ec2/getInstance:getInstance": get_instance,
    "aws:eks/getCluster:getCluster": get_cluster,
    "aws:eks/getAddon:getAddon": get_addon,
    "aws:eks/getNodeGroup:getNodeGroup": get_node_group,
    "aws:secretsmanager/getSecretVersion:getSecretVersion": get_secret_version,
    "aws:index/getCallerIdentity:getCallerIdentity": get_caller_identity,
    "aws:index/getRegion:getRegion": get_region,
}
