"""How long each way out would last at today's growth, whether anything is wrong or not.

A plan weighs the same options against causes; here nobody has to be short of anything yet.
"""

from collections.abc import Mapping

from headroom.capacity.fleet import plan_fleet
from headroom.capacity.settings import CniSettings
from headroom.planning.options import TAG_TITLE, advice_for, days_bought, untagged_by_zone, untagged_subnets
from headroom.planning.plan import Option
from headroom.planning.room import Room, further_space, needs, own_space
from headroom.planning.situation import Situation


def outlook(situation: Situation, growth_per_day: Mapping[str, float]) -> tuple[Option, ...]:
    """Each option with the addresses that it gives a zone and the days that these last, the smallest change first.

    Args:
        situation: The cluster.
        growth_per_day: Addresses that go in a day, by zone.
    """
    if not situation.zones:
        return ()
    leaked = {zone.name: sum(zone.leaked.values()) for zone in situation.zones.values() if zone.leaked}
    need = needs(situation)
    own, further = (
        (own_space(situation, need), further_space(situation, need)) if situation.vpc_blocks else (None, None)
    )
    unread, why = "The VPC's CIDRs are unknown.", "" if leaked else "There are none."
    found = [
        ("delete-leaked-interfaces", "Delete the CNI's interfaces that hang on nothing", leaked, why),
        ("retune-warm-targets", "Retune the warm targets of aws-node", *_retuned(situation)),
        ("tag-existing-subnets", TAG_TITLE, untagged_by_zone(situation), untagged_subnets(situation)[1]),
        ("subnets-in-own-space", "Add pod subnets in the VPC's own free space", *_of_room(own, unread)),
        ("secondary-cidr", "Associate a secondary CIDR and add pod subnets in it", *_of_room(further, unread)),
    ]
    return tuple(
        Option(
            name=name,
            title=title,
            kept=False,
            reason=reason,
            addresses=addresses,
            days=days_bought(addresses, growth_per_day),
        )
        for name, title, addresses, reason in found
    )


def _of_room(room: Room | None, unread: str) -> tuple[dict[str, int], str]:
    return ({}, unread) if room is None else (room.addresses, room.reason)


def _retuned(situation: Situation) -> tuple[dict[str, int], str]:
    """By zone, what the same pods would take less with the best warm targets."""
    advice = advice_for(situation)
    if advice is None or advice.saves <= 0:
        return {}, "The targets as they are hold no more than the best ones would."
    shown = {name: str(value) for name, value in advice.best.environment}
    nodes = [node for zone in situation.zones.values() for node in zone.nodes]
    changed = CniSettings.from_environment({**situation.environment, **shown})
    now, best = (plan_fleet(nodes, settings).zones for settings in (situation.settings, changed))
    saved = {zone.zone: zone.addresses - after.addresses for zone, after in zip(now, best, strict=True)}
    setting = ", ".join(f"{name}={value}" for name, value in shown.items()) or "the defaults"
    return {zone: count for zone, count in saved.items() if count > 0}, f"{setting}, by the capacity model."
