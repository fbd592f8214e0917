"""Front Door: what is written about it, and what its edges do, which is another thing until a change has arrived.

A change is accepted at once and deployed later: changes of a profile are deployed one after the other, each taking
`propagation_seconds` (azure-docs, front-door-faq). What Azure answers to a weight outside 1 to 1000 no source has:
the limits are those of the API and of azure-cli, the code here is BadRequest. The refusal of a group without an
enabled origin is terraform-provider-azurerm #18333.
"""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Final

from headroom.planning.front_door import DEFAULT_PRIORITY, DEFAULT_WEIGHT, PRIORITIES, WEIGHTS, shares
from headroom.rehearsal.arm.errors import ArmError
from headroom.rehearsal.arm.ids import Path, key_of, referred
from headroom.rehearsal.arm.kinds import Kind
from headroom.rehearsal.arm.world import Body, Record, World

PROFILES: Final = "Microsoft.Cdn/profiles"
ENDPOINTS: Final = "Microsoft.Cdn/profiles/afdEndpoints"
ROUTES: Final = "Microsoft.Cdn/profiles/afdEndpoints/routes"
GROUPS: Final = "Microsoft.Cdn/profiles/originGroups"
ORIGINS: Final = "Microsoft.Cdn/profiles/originGroups/origins"

LATENCIES: Final = range(1001)
"""What additionalLatencyInMilliseconds may be (Azure Front Door documentation, routing-methods)."""

LOAD_BALANCING: Final = {"sampleSize": 4, "successfulSamplesRequired": 3, "additionalLatencyInMilliseconds": 0}
"""Settings of a group that writes none (Azure Front Door documentation, origin, routing-methods)."""


class FrontDoorKind(Kind):
    """A type whose changes reach the edges later."""

    takes_time = True

    def accepted(self, world: World, record: Record, old: Body | None) -> ArmError | None:
        """Queues the change behind the others of the profile."""
        del old
        deploy(world, record, dict(record.properties))
        return None

    def show(self, world: World, record: Record, body: Body) -> None:
        """How far its last change is."""
        begins, ends = record.hidden.get("deployment", (0.0, 0.0))
        status = "NotStarted" if world.now() < begins else "InProgress" if world.now() < ends else "Succeeded"
        body["properties"]["deploymentStatus"] = status

    def deleted(self, world: World, record: Record) -> None:
        """A deletion reaches the edges later, too."""
        deploy(world, record, None)


class Profile(Kind):
    """A Front Door."""

    type = PROFILES
    takes_time = True

    def show(self, world: World, record: Record, body: Body) -> None:
        """Its id."""
        body["properties"]["frontDoorId"] = world.identity(f"front door {record.path.key}")
        body["properties"].setdefault("resourceState", "Active")


class Endpoint(FrontDoorKind):
    """A name under which a Front Door answers."""

    type = ENDPOINTS

    def show(self, world: World, record: Record, body: Body) -> None:
        """Its host name."""
        super().show(world, record, body)
        suffix = world.identity(record.path.key)[:16].replace("-", "")
        body["properties"]["hostName"] = f"{record.path.name}-{suffix}.z01.azurefd.net"


class Route(FrontDoorKind):
    """Which requests go to which group."""

    type = ROUTES

    def prepare(self, world: World, path: Path, body: Body, old: Record | None, api_version: str) -> None:
        """Its group is there."""
        del old, api_version, path
        group = referred((body.get("properties") or {}).get("originGroup"))
        if group and world.find(group) is None:
            raise ArmError(400, "BadRequest", f"The origin group {group} does not exist.")


class OriginGroup(FrontDoorKind):
    """Origins that stand in for one another."""

    type = GROUPS

    def prepare(self, world: World, path: Path, body: Body, old: Record | None, api_version: str) -> None:
        """Fills in how load is balanced."""
        del world, path, old, api_version
        properties = body.setdefault("properties", {})
        settings = {**LOAD_BALANCING, **(properties.get("loadBalancingSettings") or {})}
        properties["loadBalancingSettings"] = settings
        if settings["additionalLatencyInMilliseconds"] not in LATENCIES:
            raise ArmError(400, "BadRequest", "AdditionalLatencyInMilliseconds must be within 0 to 1000.")
        properties.setdefault("sessionAffinityState", "Disabled")

    def check_delete(self, world: World, record: Record) -> None:
        """Not while a route leads to it."""
        if _routes_to(world, record.path.text):
            raise ArmError(409, "Conflict", f"The origin group {record.path.name} is used by a route.")


class Origin(FrontDoorKind):
    """Where requests go."""

    type = ORIGINS

    def prepare(self, world: World, path: Path, body: Body, old: Record | None, api_version: str) -> None:
        """Weight, priority and state, and one enabled origin in the group at least."""
        del old, api_version
        properties = body.setdefault("properties", {})
        if not properties.get("hostName"):
            raise ArmError(400, "BadRequest", f"The origin {path.name} has no hostName.")
        for name, allowed, default in (
            ("weight", WEIGHTS, DEFAULT_WEIGHT),
            ("priority", PRIORITIES, DEFAULT_PRIORITY),
        ):
            value = properties.setdefault(name, default)
            if isinstance(value, bool) or value not in allowed:
                raise ArmError(
                    400, "BadRequest", f"Property '{name}' must be within {allowed[0]} to {allowed[-1]}: {value}."
                )
        properties.setdefault("enabledState", "Enabled")
        properties.setdefault("httpPort", 80)
        properties.setdefault("httpsPort", 443)
        properties.setdefault("enforceCertificateNameCheck", True)
        properties["originGroupName"] = Path.parse(path.parent).name
        if properties["enabledState"] == "Disabled":
            self._judge_last(world, path)

    def check_delete(self, world: World, record: Record) -> None:
        """Not the last enabled one of a group that a route leads to."""
        if record.properties["enabledState"] != "Disabled":
            self._judge_last(world, record.path)

    def _judge_last(self, world: World, path: Path) -> None:
        others = [
            other
            for other in world.below(path.parent, ORIGINS)
            if other.path.key != path.key and other.properties["enabledState"] != "Disabled"
        ]
        if not others and _routes_to(world, path.parent):
            raise ArmError(400, "BadRequest", "Endpoint pools must contain at least one enabled endpoint")


def _routes_to(world: World, group: str) -> list[Record]:
    return world.referrers(ROUTES, "originGroup", group)


def deploy(world: World, record: Record, properties: Body | None) -> None:
    """Queues what the edges shall know of a resource; None for nothing more."""
    profile = world.find(record.path.within)
    if profile is None:
        return
    begins = max(world.now(), profile.hidden.get("free_from", 0.0))
    ends = begins + world.settings.propagation_seconds
    profile.hidden["free_from"] = ends
    record.hidden["deployment"] = (begins, ends)
    edges: dict[str, list[tuple[float, str, Body | None]]] = profile.hidden.setdefault("edges", {})
    edges.setdefault(record.path.key, []).append((ends, record.path.text, properties))


def at_edges(profile: Record, now: float) -> dict[str, tuple[str, Body]]:
    """What the edges know: id and properties of each resource, by its key."""
    found = {}
    for key, history in profile.hidden.get("edges", {}).items():
        arrived = [(text, properties) for when, text, properties in history if when <= now]
        if arrived and arrived[-1][1] is not None:
            found[key] = arrived[-1]
    return found


def split(
    world: World, group: str, *, latencies: Mapping[str, float] | None = None, healthy: Mapping[str, bool] | None = None
) -> dict[str, Fraction]:
    """The share of a group's traffic that each origin gets now, by its name, as the edges know them now.

    Enabled and healthy origins, of these those of the lowest priority, of these those that answer within the latency
    sensitivity of the fastest, by their weights (Azure Front Door documentation, routing-methods).

    Args:
        world: The simulated Azure.
        group: The id of the origin group.
        latencies: Milliseconds in which an origin answers probes; 0 for those that are not named.
        healthy: Whether its probes succeed; true for those that are not named.

    Raises:
        ValueError: There is no such group.
    """
    path = Path.parse(group)
    profile = world.find(path.within)
    if profile is None:
        raise ValueError(f"there is no Front Door for {group}")
    known = at_edges(profile, world.now())
    settings: Mapping[str, Any] = LOAD_BALANCING
    if path.key in known:
        settings = known[path.key][1]["loadBalancingSettings"]
    origins = {
        Path.parse(text).name: properties
        for key, (text, properties) in known.items()
        if key.startswith(f"{path.key}/origins/")
    }
    up = {
        name: origin
        for name, origin in origins.items()
        if origin["enabledState"] != "Disabled" and (healthy or {}).get(name, True)
    }
    # With every probe failing, Front Door takes them all for healthy (Azure Front Door documentation, health-probes).
    up = up or {name: origin for name, origin in origins.items() if origin["enabledState"] != "Disabled"}
    if not up:
        return {}
    least = min(origin["priority"] for origin in up.values())
    first = [name for name, origin in up.items() if origin["priority"] == least]
    answer = {name: float((latencies or {}).get(name, 0.0)) for name in first}
    limit = min(answer.values()) + float(settings["additionalLatencyInMilliseconds"])
    found = shares({name: origins[name]["weight"] for name in first if answer[name] <= limit})
    return {name: found.get(name, Fraction(0)) for name in origins}


def settled_at(world: World, profile: str) -> float:
    """When the last change so far of a Front Door has reached the edges, in simulated seconds."""
    record = world.records.get(key_of(profile))
    return float(record.hidden.get("free_from", 0.0)) if record else 0.0


KINDS: Final[tuple[Kind, ...]] = (Profile(), Endpoint(), Route(), OriginGroup(), Origin())
