"""`headroom calc node`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, get_args

import click

from headroom.addresses.problems import Problem
from headroom.capacity.ec2 import PREFIX_ADDRESSES
from headroom.capacity.limits import InstanceLimits
from headroom.capacity.peak import RUNS, AfterPeak
from headroom.capacity.peak import after_peak as held_after_peak
from headroom.capacity.pool import node_pool
from headroom.capacity.prefixes import DRAWS
from headroom.capacity.settings import CniSettings
from headroom.capacity.simulation import Leaving
from headroom.cli.calc.answer import FINDING, Answer, Table, Term, answers, counted, whole
from headroom.cli.calc.reading import Reader

FEW_RUNS: Final = 4
"""Simulated runs for each way of leaving that was not asked for."""

LARGE_PEAK: Final = 1_000
"""Pods from which on a node is so large that runs are fewer, and only for the way of leaving that was asked for."""

_LIMITS: Final = {
    "instance-type": "as many as its interfaces carry",
    "max-eni": "as many as MAX_ENI of its interfaces carry",
    "minimum-ip-target": "which MINIMUM_IP_TARGET without WARM_IP_TARGET keeps it at",
}
_WAYS_OUT: Final = {
    "instance-type": "Run fewer pods on each, take a larger instance type, or set ENABLE_PREFIX_DELEGATION=true where "
    "it is not.",
    "max-eni": "Raise MAX_ENI, or run fewer pods on each node.",
    "minimum-ip-target": "Set WARM_IP_TARGET too.",
}

HELP = """
\b
headroom calc node --instance-type m5.8xlarge --pods 100
headroom calc node --instance-type m5.8xlarge --pods 10 --after-peak 100

\b
What a node holds of its subnets: interfaces, secondary addresses or prefixes,
what of it idles, and what keeps it from growing. --after-peak asks what it
still holds once the other pods of a peak have gone.

Where chance decides, figures are means and "range" holds least and most (and, after a peak, "worst": the most that is
possible, and the mean by who leaves); a pool that never comes to rest has "settles": false. Exit code 1 if pods wait
for ever.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Figures:
    """The figures of one answer, as JSON and table have them."""

    pods: int
    enis: float
    secondary_addresses: float
    prefixes: float
    subnet_addresses: float
    assigned: float
    max_pods: int
    limited_by: str | None
    settles: bool
    range: dict[str, Any] | None = None

    @property
    def idle(self) -> float:
        return self.secondary_addresses + PREFIX_ADDRESSES * self.prefixes - self.assigned

    def data(self) -> dict[str, Any]:
        data: dict[str, Any] = {
            "enis": whole(self.enis),
            "secondaryAddresses": whole(self.secondary_addresses),
            "prefixes": whole(self.prefixes),
            "subnetAddresses": whole(self.subnet_addresses),
            "assigned": whole(self.assigned),
            "idle": whole(self.idle),
            "maxPods": self.max_pods,
            "limitedBy": self.limited_by,
        }
        if self.range is not None:
            data["range"] = self.range
        if not self.settles:
            data["settles"] = False
        return data

    def row(self) -> tuple[str | int | float, ...]:
        return (
            self.pods,
            whole(self.enis),
            whole(self.secondary_addresses),
            whole(self.prefixes),
            whole(self.subnet_addresses),
            _range_text(self.range),
            whole(self.assigned),
            whole(self.idle),
            (self.limited_by or "-") if self.settles else "never settles",
        )


@click.command(help=HELP)
@click.option("--instance-type", metavar="T", help="Instance type, such as m5.8xlarge.")
@click.option("--limits", metavar="ENIS,IPV4", help="Instead: network interfaces, and IPv4 addresses on each.")
@click.option("--pods", multiple=True, metavar="P", help="Pods on the pod network. Several: one answer each.")
@click.option("--after-peak", metavar="P", help="Pods of a peak that is over; --pods of them stay.")
@click.option("--leaving", metavar="WHO", help="Which pods left: oldest, newest, spread or random (the default).")
@click.option("--set", "pairs", multiple=True, metavar="NAME=VALUE", help="A setting of aws-node.")
@click.option("--max-pods", "max_pods_text", metavar="M", help="The node's maxPods; the advised one by default.")
@click.option("--custom-networking", is_flag=True, help="Pods get interfaces of an ENIConfig.")
@click.option("--excluded-primary", is_flag=True, help="The node subnet is tagged kubernetes.io/role/cni=0.")
@answers
def command(  # noqa: PLR0913 - the options
    *,
    instance_type: str | None,
    limits: str | None,
    pods: tuple[str, ...],
    after_peak: str | None,
    leaving: str | None,
    pairs: tuple[str, ...],
    max_pods_text: str | None,
    custom_networking: bool,
    excluded_primary: bool,
) -> Answer:
    """Reads the options and answers."""
    reader = Reader()
    found = reader.limits(instance_type, limits)
    settings, environment = reader.settings(
        pairs, nitro=found is None or found.supports_prefixes, custom_networking=custom_networking
    )
    counts = [reader.count(text, "--pods") for text in pods]
    if not pods:
        reader.missing("--pods", "Write how many pods on the pod network the node runs.")
    max_pods = None if max_pods_text is None else reader.count(max_pods_text, "--max-pods")
    peak = None if after_peak is None else reader.count(after_peak, "--after-peak")
    who: Leaving | None = None
    if leaving is not None:
        who = _leaving(reader, leaving)
        if after_peak is None:
            reader.problem("leaving-alone", f"--leaving {leaving}", "asks about a peak.", "Give --after-peak too.")
    if peak is not None:
        for count in counts:
            if count > peak:
                reader.problem(
                    "peak",
                    f"--pods {count}",
                    f"cannot be what stays of {peak}.",
                    "Give the larger number to --after-peak.",
                )
        if excluded_primary:
            reader.problem(
                "excluded-primary",
                "--excluded-primary",
                "cannot be asked together with --after-peak.",
                "Use --custom-networking: the same interfaces carry pods.",
            )
    reader.done("calc node")
    if found is None:  # done() has raised
        raise AssertionError(instance_type)
    if max_pods is None:
        max_pods = reader.assumed_max_pods(found, settings, idle_primary=excluded_primary)
    figures = [
        _at_rest(found, settings, count, max_pods, excluded_primary=excluded_primary)
        if peak is None
        else _after_peak(found, settings, peak, count, max_pods, who)
        for count in counts
    ]
    waiting = list(_waiting(figures))
    data = [each.data() for each in figures]
    return Answer(
        data=data if len(data) > 1 else data[0],
        facts=_facts(found, figures, peak, environment),
        tables=[
            Table(
                ("pods", "ENIs", "secondary", "prefixes", "addresses", "range", "assigned", "idle", "limited by"),
                [each.row() for each in figures],
            )
        ],
        problems=waiting,
        warnings=reader.warnings,
        terms=list(dict.fromkeys(term for each in figures for term in _terms(found, settings, each, peak))),
        next_step="headroom calc fleet --help    the same for all nodes, and the warm targets that suit them",
        exit_code=FINDING if waiting else 0,
    )


def _leaving(reader: Reader, text: str) -> Leaving | None:
    name = reader.one_of(text, get_args(Leaving), "--leaving")
    ways: dict[str, Leaving] = {"oldest": "oldest", "newest": "newest", "spread": "spread", "random": "random"}
    return None if name is None else ways[name]


def _at_rest(
    limits: InstanceLimits, settings: CniSettings, pods: int, max_pods: int | None, *, excluded_primary: bool
) -> _Figures:
    pool = node_pool(limits, settings, 0, max_pods=max_pods, excluded_primary=excluded_primary)
    # The scheduler places no more pods than maxPods on a node.
    placed = min(pods, pool.max_pods)
    pool = node_pool(limits, settings, placed, max_pods=max_pods, excluded_primary=excluded_primary)
    limited = pool.limited_by or ("max-pods" if placed < pods else None)
    chance = None if pool.range is None else {"least": pool.range.least, "most": pool.range.most}
    prefixes: float = pool.prefixes
    if chance is not None:
        prefixes = (pool.expected - pool.expected_enis) / PREFIX_ADDRESSES
    return _Figures(
        pods=pods,
        enis=pool.expected_enis,
        secondary_addresses=pool.secondary_addresses,
        prefixes=prefixes,
        subnet_addresses=pool.expected,
        assigned=min(pool.assigned, placed),
        max_pods=pool.max_pods,
        limited_by=limited,
        settles=pool.settles,
        range=chance,
    )


def _after_peak(  # noqa: PLR0913, PLR0917 - a node, two numbers of pods and who leaves
    limits: InstanceLimits,
    settings: CniSettings,
    peak: int,
    pods: int,
    max_pods: int | None,
    who: Leaving | None,
) -> _Figures:
    most = node_pool(limits, settings, 0, max_pods=max_pods).max_pods
    placed, stay = min(peak, most), min(pods, most)
    large = placed >= LARGE_PEAK
    runs = max(1, RUNS * LARGE_PEAK // placed) if large else RUNS
    after = held_after_peak(limits, settings, placed, stay, max_pods=max_pods, leaving=who or "random", runs=runs)
    others: dict[str, AfterPeak] = {}
    if who is None and not large:
        others = {
            way: held_after_peak(limits, settings, placed, stay, max_pods=max_pods, leaving=way, runs=FEW_RUNS)
            for way in ("newest", "oldest", "spread")
        }
    everything = (after, *others.values())
    least, greatest = min(each.least for each in everything), max(each.most for each in everything)
    chance: dict[str, Any] | None = None
    if not least == greatest == after.worst:
        chance = {"least": least, "most": greatest, "worst": after.worst}
        if others:
            means = {way: whole(each.expected) for way, each in others.items()} | {"random": whole(after.expected)}
            chance["byLeaving"] = dict(sorted(means.items()))
    return _Figures(
        pods=pods,
        enis=after.enis,
        secondary_addresses=after.secondary_addresses,
        prefixes=after.prefixes,
        subnet_addresses=after.expected,
        assigned=after.assigned,
        max_pods=after.pool.max_pods,
        limited_by=after.pool.limited_by,
        settles=all(each.settles for each in everything),
        range=chance,
    )


def _waiting(figures: Sequence[_Figures]) -> Iterator[Problem]:
    """Pods that never get a place or an address on such a node."""
    for each in figures:
        if each.pods > each.max_pods:
            yield Problem(
                rule="pods-above-max-pods",
                value=f"{each.pods:,} pods",
                reason=f"do not fit on a node with maxPods {each.max_pods}; it was reckoned with those.",
                next_step="Raise --max-pods if the node's is higher.",
            )
        placed = min(each.pods, each.max_pods)
        if each.assigned < placed:
            verb = "waits" if placed - int(each.assigned) == 1 else "wait"
            yield Problem(
                rule="pods-without-address",
                value=f"{counted(placed - int(each.assigned), 'pod')} of {placed:,}",
                reason=f"{verb} for an address for ever: the node gets {int(each.assigned):,} for pods, "
                f"{_LIMITS.get(each.limited_by or '', 'and no more')}.",
                next_step=_WAYS_OUT.get(each.limited_by or "", "Run fewer pods on each node."),
            )


def _facts(
    limits: InstanceLimits, figures: Sequence[_Figures], peak: int | None, environment: dict[str, str]
) -> list[tuple[str, str]]:
    name = limits.instance_type or "limits given"
    facts = [
        ("node", f"{name}: {limits.enis} ENIs, {limits.ipv4_per_eni} IPv4 addresses each"),
        ("maxPods", str(figures[0].max_pods)),
        ("settings", " ".join(f"{key}={value}" for key, value in sorted(environment.items())) or "defaults"),
    ]
    if peak is not None:
        facts.append(("after a peak of", f"{peak:,} pods"))
    return facts


def _range_text(chance: dict[str, Any] | None) -> str:
    if chance is None:
        return "-"
    worst = f", worst {chance['worst']:,}" if "worst" in chance else ""
    return f"{chance['least']:,} to {chance['most']:,}{worst}"


def _terms(limits: InstanceLimits, settings: CniSettings, figures: _Figures, peak: int | None) -> Iterator[Term]:
    table = "amazon-vpc-cni-k8s, pkg/vpc/vpc_ip_resource_limit.go" if limits.instance_type else "--limits"
    slots = limits.secondary_per_eni
    idle_primary = settings.custom_networking
    interfaces = limits.enis - 1 if idle_primary else limits.enis
    yield Term(
        "N",
        f"{limits.enis} network interfaces" + (", of which the first carries no pods" if idle_primary else ""),
        table,
    )
    yield Term("s", f"{limits.ipv4_per_eni} - 1 = {slots} addresses or prefixes for pods on each", table)
    if settings.max_eni is not None and settings.max_eni < limits.enis:
        yield Term("MAX_ENI", f"{settings.max_eni} of the {limits.enis} interfaces", "amazon-vpc-cni-k8s README")
    yield Term(
        "maxPods",
        f"{figures.max_pods}: growth stops once so many addresses are there",
        "amazon-vpc-cni-k8s, pkg/ipamd/ipamd.go, isDatastorePoolTooLow; amazon-eks-ami, max-pods-calculator.sh",
    )
    yield _pool_term(limits, settings, figures.pods, interfaces)
    held = f"{whole(figures.enis)} + {whole(figures.secondary_addresses)}"
    if figures.prefixes:
        held = f"{whole(figures.enis)} + {PREFIX_ADDRESSES} x {whole(figures.prefixes)}"
    yield Term(
        "subnetAddresses",
        f"{held} = {whole(figures.subnet_addresses)}: each interface's own address is taken from a subnet too",
        "amazon-vpc-cni-k8s, docs/eni-and-ip-target.md",
    )
    if peak is not None:
        yield Term(
            "after a peak",
            "an interface goes when none of its addresses has a pod or rests, a prefix when all of it is free: the "
            f"means are those of {RUNS} simulated runs, the worst case has every pod that stays keep an interface or "
            "a prefix of its own",
            "amazon-vpc-cni-k8s v1.23.0, pkg/ipamd/datastore",
        )
    elif figures.range is not None:
        yield Term(
            "range",
            "ipamd tests free addresses and asks for wholly free prefixes, so it may take up to WARM_PREFIX_TARGET - 1 "
            "more, in whatever order pods come; the means are those of a burst, its last pods spread over the last "
            f"prefixes as Go's maps have it, {DRAWS} times",
            "amazon-vpc-cni-k8s v1.23.0, pkg/ipamd/ipamd.go",
        )
    if not figures.settles:
        yield Term(
            "settles",
            "an interface (or prefix) that is added for the next pod is surplus at once: it comes and goes for ever, "
            "and the figures are the upper end",
            "amazon-vpc-cni-k8s v1.23.0, pkg/ipamd/ipamd.go",
        )


def _pool_term(limits: InstanceLimits, settings: CniSettings, pods: int, interfaces: int) -> Term:
    source = "amazon-vpc-cni-k8s v1.23.0, pkg/ipamd/ipamd.go, datastoreTargetState"
    slots = limits.secondary_per_eni
    prefixes = settings.prefix_delegation and limits.supports_prefixes
    if settings.ip_targets_set:
        warm, minimum = settings.warm_ip_target, settings.minimum_ip_target
        wanted = max(pods + warm, minimum)
        text = f"max(pods {pods} + WARM_IP_TARGET {warm}, MINIMUM_IP_TARGET {minimum}) = {wanted}"
        if prefixes:
            return Term("prefixes", f"ceil({text} / {PREFIX_ADDRESSES}), at most {interfaces} x {slots}", source)
        return Term("secondaryAddresses", f"{text}, at most {interfaces} x {slots}", source)
    if prefixes:
        warm = settings.warm_prefix_target
        text = f"ceil(pods {pods} / {PREFIX_ADDRESSES}) + WARM_PREFIX_TARGET {warm}"
        return Term(
            "prefixes", f"{text}, at most ceil(maxPods / {PREFIX_ADDRESSES}) and {interfaces} x {slots}", source
        )
    warm = settings.warm_eni_target
    text = f"ceil(pods {pods} / {slots}) + WARM_ENI_TARGET {warm}" if warm else f"floor(pods {pods} / {slots}) + 1"
    return Term("enis", f"{text}, at most ceil(maxPods / {slots}) and {interfaces}", source)
