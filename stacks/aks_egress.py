"""The stack of a stable way out for AKS clusters: static addresses first, then the gateway on subnets that exist."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pulumi

from components.stable_egress import StableEgress, StableEgressArgs, address_names, prefix_name
from headroom.addresses.problems import Problem, ProblemsError
from headroom.planning.audit_record import clear_for, file_name, read_record
from headroom.planning.egress import Egress, read_egress
from stacks.azure_lookups import look_up, read_subnet
from stacks.azure_settings import required_location, stacks_folder
from stacks.settings import ConfigReader

NAME: Final = "egress"
"""Logical name of the component: it never changes."""


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
    audited = audited_addresses(pulumi.get_stack(), egress, stacks_folder()) if egress.attach else frozenset()
    addresses = read_addresses(egress) if egress.attach else frozenset()
    made = StableEgress(
        NAME, StableEgressArgs(egress=egress, location=location, live=live, addresses=addresses, audited=audited)
    )
    pulumi.export("addresses", made.addresses)
    pulumi.export(
        "next",
        "headroom verify: the clusters are seen with these addresses"
        if egress.attach
        else made.addresses.apply(
            lambda found: (
                f"headroom audit-egress --new {' --new '.join(found)} --record "
                f"stacks/{file_name(pulumi.get_stack())}; then headroom:attach: true"
            )
        ),
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


def read_addresses(egress: Egress) -> frozenset[str]:
    """The addresses, or prefixes, that the first run made.

    Raises:
        ProblemsError: They are not there yet, or may not be read.
    """
    step = "Set headroom:attach to false and run `pulumi up` first: addresses come before the audit."
    found = []
    for gateway in egress.gateways.values():
        if gateway.prefix_length is not None:
            name = prefix_name(gateway)
            group = egress.resource_group
            prefix = look_up("network:getPublicIPPrefix", name, step, resourceGroupName=group, publicIpPrefixName=name)
            found.append(str(prefix.get("ipPrefix") or ""))
        for name in address_names(gateway):
            group = egress.resource_group
            address = look_up(
                "network:getPublicIPAddress", name, step, resourceGroupName=group, publicIpAddressName=name
            )
            found.append(str(address.get("ipAddress") or ""))
    return frozenset(found)


def audited_addresses(stack: str, egress: Egress, folder: Path) -> frozenset[str]:
    """The addresses that the audit found on every allow-list.

    Raises:
        ProblemsError: There is no record, or it is not clear.
    """
    path = folder / file_name(stack)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        text = ""
    except (OSError, UnicodeDecodeError) as error:
        problem = Problem(
            rule="audit-clear", value=path.name, reason=f"cannot be read: {type(error).__name__}.", next_step=""
        )
        raise ProblemsError([problem]) from None
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
    return frozenset(record.new_addresses)
