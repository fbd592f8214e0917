"""A share of the requests for a new cluster, by the weights of two origins of Azure Front Door."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import pulumi
from pulumi_azure_native import cdn

from components.traffic_guard import refuse_blind_change
from headroom.planning.front_door import WHOLE
from headroom.planning.traffic import Origin, Traffic

TYPE: Final = "headroom:index:TrafficShift"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficShiftArgs:
    """What to shift, and how far.

    Attributes:
        traffic: The origin group, both origins, the steps and the one that holds now. Plain: known at preview.
        protect: Refuse to delete the group and its origins, which belong to what runs.
        adopt: Ids of what exists already, by the name in the program (see `stacks/azure_adoption.py`).
    """

    traffic: Traffic
    protect: bool = True
    adopt: Mapping[str, str] = field(default_factory=dict)


class TrafficShift(pulumi.ComponentResource):
    """Owns an origin group's settings and the weights of its two origins; both exist already, or the old one does.

    What exists is taken over, not made anew. An origin is written as a whole, so that everything it
    has stands in the stack file. From one step to the next the new origin's weight alone changes: Front Door queues
    operations, and each takes up to 45 minutes to reach all edges. Where both have to change, the one that takes over
    is enabled before the other is disabled. Before an origin is written, Front Door is asked how both stand.
    """

    share: pulumi.Output[float]
    """The new cluster's share, from 0 to 1, once Front Door has taken the weights."""

    def __init__(self, name: str, args: TrafficShiftArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(TYPE, name, {}, opts)
        traffic, settings = args.traffic, args.traffic.group
        group = cdn.AFDOriginGroup(
            f"{name}-group",
            resource_group_name=traffic.resource_group,
            profile_name=traffic.profile,
            origin_group_name=traffic.origin_group,
            # A session that sticks stays on the origin that it began with, whatever its weight is by then.
            session_affinity_state=cdn.EnabledState.DISABLED,
            load_balancing_settings=cdn.LoadBalancingSettingsParametersArgs(
                additional_latency_in_milliseconds=settings.latency_milliseconds,
                sample_size=settings.sample_size,
                successful_samples_required=settings.samples_required,
            ),
            health_probe_settings=cdn.HealthProbeParametersArgs(
                probe_path=settings.probe_path,
                probe_protocol=cdn.ProbeProtocol(settings.probe_protocol),
                probe_request_type=cdn.HealthProbeRequestType(settings.probe_request_type),
                probe_interval_in_seconds=settings.probe_interval_seconds,
            ),
            opts=pulumi.ResourceOptions(
                parent=self, protect=args.protect, retain_on_delete=True, import_=args.adopt.get(f"{name}-group")
            ),
        )
        made: dict[str, cdn.AFDOrigin] = {}
        # Who takes over comes first: with the last step that is the new origin, on every way back the old one.
        order = (traffic.new, traffic.old) if traffic.step == WHOLE else (traffic.old, traffic.new)
        guard = pulumi.ResourceHook(f"{name}-guard", self._guard(traffic))
        hooks = pulumi.ResourceHookBinding(before_create=[guard], before_update=[guard])
        for origin in order:
            made[origin.name] = self._origin(name, args, origin, [group, *made.values()], hooks)
        self.share = pulumi.Output.all(*(origin.id for origin in made.values())).apply(lambda _: float(traffic.share()))
        self.register_outputs({"share": self.share})

    def _guard(self, traffic: Traffic) -> Callable[[pulumi.ResourceHookArgs], Awaitable[None]]:
        async def refuse(changed: pulumi.ResourceHookArgs) -> None:
            await refuse_blind_change(changed, traffic, self)

        return refuse

    def _origin(
        self,
        name: str,
        args: TrafficShiftArgs,
        origin: Origin,
        before: list[pulumi.Resource],
        hooks: pulumi.ResourceHookBinding,
    ) -> cdn.AFDOrigin:
        traffic = args.traffic
        side = "old" if origin is traffic.old else "new"
        state = traffic.states()[origin.name]
        return cdn.AFDOrigin(
            f"{name}-{side}",
            resource_group_name=traffic.resource_group,
            profile_name=traffic.profile,
            origin_group_name=traffic.origin_group,
            origin_name=origin.name,
            host_name=origin.host_name,
            origin_host_header=origin.host_header or None,
            http_port=origin.http_port,
            https_port=origin.https_port,
            enforce_certificate_name_check=origin.check_certificate_name,
            # Weights split traffic among origins of one priority only.
            priority=1,
            weight=state.weight,
            enabled_state=cdn.EnabledState.ENABLED if state.enabled else cdn.EnabledState.DISABLED,
            opts=pulumi.ResourceOptions(
                parent=self,
                protect=args.protect,
                retain_on_delete=True,
                depends_on=before,
                hooks=hooks,
                import_=args.adopt.get(f"{name}-{side}"),
            ),
        )
