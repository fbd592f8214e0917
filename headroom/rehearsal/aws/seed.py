"""Plants many instances with their interfaces and addresses at once, as a running cluster would have them.

The result is what the same API calls would have made; only the hundreds of HTTP requests are saved.
"""

from typing import Any

from headroom.rehearsal.aws.ec2 import RehearsalBackend, RehearsalInterface, WantedAddresses

_NODE_KEYS = frozenset({"subnetId", "instanceType", "securityGroupIds", "tags", "primary", "interfaces"})
_INTERFACE_KEYS = frozenset({"subnetId", "addresses", "prefixes", "description", "tags"})


def plant(backend: RehearsalBackend, content: dict[str, Any]) -> dict[str, Any]:
    """Plant `instances`, each `{subnetId, instanceType, securityGroupIds, tags, primary, interfaces}`.

    `primary` and each of `interfaces` are `{subnetId, addresses, prefixes, description, tags}`, with
    `addresses` the number of secondary addresses.

    Raises:
        ValueError: A key is not known.
        RefusalError: EC2 would refuse it, such as a full subnet; what was planted before stays.
    """
    backend.settle()
    planted = [_plant_instance(backend, node) for node in content.get("instances", [])]
    return {"instances": planted}


def _plant_instance(backend: RehearsalBackend, node: dict[str, Any]) -> dict[str, Any]:
    _check_keys(node, _NODE_KEYS)
    groups = list(node.get("securityGroupIds", []))
    reservation = backend.run_instances(
        "ami-rehearsal",
        1,
        None,
        [],
        instance_type=node["instanceType"],
        is_instance_type_default=False,
        region_name=backend.region_name,
        subnet_id=node["subnetId"],
        security_group_ids=groups,
        tags={"instance": dict(node.get("tags", {}))},
        block_device_mappings=[],
    )
    instance = reservation.instances[0]
    primary = instance.nics[0]
    wish = node.get("primary", {})
    _check_keys(wish, _INTERFACE_KEYS)
    backend.assign(primary.id, _wanted(wish))
    primary.add_tags(wish.get("tags", {}))
    for index, item in enumerate(node.get("interfaces", []), start=1):
        _check_keys(item, _INTERFACE_KEYS)
        interface = backend.add_interface(
            backend.own_subnet(item.get("subnetId", node["subnetId"])),
            wanted=_wanted(item),
            group_ids=groups,
            description=item.get("description", ""),
            tags=item.get("tags"),
        )
        backend.attach_network_interface(interface.id, instance.id, index)
        interface.delete_on_termination = True
    return {
        "instanceId": instance.id,
        "privateIpAddress": instance.private_ip,
        "privateDnsName": instance.private_dns_name,
        "availabilityZone": instance.availability_zone,
        "interfaces": [
            _shown(index, interface)
            for index, interface in sorted(instance.nics.items())
            if isinstance(interface, RehearsalInterface)
        ],
    }


def _wanted(item: dict[str, Any]) -> WantedAddresses:
    return WantedAddresses(secondary_count=int(item.get("addresses", 0)), prefix_count=int(item.get("prefixes", 0)))


def _shown(index: int, interface: RehearsalInterface) -> dict[str, Any]:
    return {
        "deviceIndex": index,
        "networkInterfaceId": interface.id,
        "attachmentId": interface.attachment_id,
        "macAddress": interface.mac_address,
        "subnetId": interface.subnet.id,
        "addresses": [address["PrivateIpAddress"] for address in interface.private_ip_addresses],
        "prefixes": [prefix["Ipv4Prefix"] for prefix in interface.ipv4_prefixes],
    }


def _check_keys(values: dict[str, Any], known: frozenset[str]) -> None:
    wrong = sorted(set(values) - known)
    if wrong:
        raise ValueError(f"{', '.join(wrong)}: not known here; known are {', '.join(sorted(known))}")
