"""What a person does for an AKS cluster, in order: relief, new pools, the way in place, the way beside it."""

from collections.abc import Iterator, Sequence
from shlex import quote
from typing import Final

from headroom.addresses.blocks import listed
from headroom.capacity.overlay import KUBENET_MAXIMUM_NODES
from headroom.diagnosis.finding import counted
from headroom.diagnosis.mitigation import AZURE, MITIGATIONS
from headroom.diagnosis.verdict import Cause, Detail, Diagnosis
from headroom.facts.azure import resource_name
from headroom.facts.values import Unknown, items, known, known_or
from headroom.planning.aks_blue_green import Design
from headroom.planning.aks_eligibility import POLICY_GAP, Answer, Condition
from headroom.planning.aks_network import MANAGED_NAT, NeededRule
from headroom.planning.aks_options import AksWeighed
from headroom.planning.aks_pools import pool_steps
from headroom.planning.aks_situation import AksSituation
from headroom.planning.audit_record import file_name as record_name
from headroom.planning.fill_in import FILL_IN
from headroom.planning.front_door import DEFAULT_STEPS, WHOLE
from headroom.planning.gate_history import file_name as history_name
from headroom.planning.one_side import CRON_JOB, KEDA, Mark, entries_of, text_of, unread
from headroom.planning.overlay_cluster import IN_PLACE
from headroom.planning.plan import PlannedFile, Step
from headroom.planning.probe_record import MAX_AGE
from headroom.planning.probe_record import file_name as probes_name
from headroom.planning.retirement import PHASES, drain_command, selector
from headroom.planning.traffic import ROLLBACK_WINDOW_DAYS

_CURED: Final = frozenset(
    {
        Detail.HOST_LOCAL_LEAK,
        Detail.MAX_PODS,
        Detail.OVERLAY_NODE_BLOCK,
        Detail.NODE_SUBNET_FULL,
        Detail.POD_SUBNET_EXHAUSTED,
        Detail.POD_CIDR_EXHAUSTED,
        Detail.ROUTE_LIMIT,
    }
)
"""Causes for which an option, and with it its steps, is weighed."""
_PHASES: Final = {
    "zero": "Scale the old cluster's user pools to zero",
    "detach": "Take its route table off the subnet, before the deletion fails of it",
    "delete": "Delete the old cluster",
}
"""What each phase of the old cluster's end does (`headroom.planning.retirement`)."""
_LATER: Final = ("dataplane", "pod-cidr", "pod-cidr-full", "pod-cidr-in-vnet", "network-policy")
"""Rules whose first step is one of the order of operations, or the choice of the range."""


def relief_steps(situation: AksSituation, weighed: AksWeighed, diagnosis: Diagnosis) -> Iterator[Step]:
    """What helps now, by hand, and can be taken back."""
    for relief in weighed.reliefs:
        caveat = f" {relief.caveat}" if relief.caveat.startswith("Allow-lists") else ""
        if not relief.undo:
            yield Step(what=f"{relief.what} {relief.caveat}", command=relief.command, takes="minutes")
            continue
        yield Step(
            what=f"Now, by hand: {relief.what}{caveat}", command=relief.command, takes="minutes", undo=relief.undo
        )
    leaked = [
        node for cause in diagnosis.causes if cause.detail is Detail.HOST_LOCAL_LEAK for node in cause.scope.nodes
    ]
    if leaked and any(relief.command.startswith("kubectl cordon") for relief in weighed.reliefs):
        yield _replaced(situation, leaked)
    if weighed.without_route:
        nodes = " ".join(map(quote, weighed.without_route))
        yield Step(
            what=f"Now, by hand: cordon the {len(weighed.without_route)} nodes that have no route, and scale the pool "
            f"back to {KUBENET_MAXIMUM_NODES} nodes in all, so that nothing waits on them",
            command=f"kubectl cordon {nodes}",
            takes="seconds",
            undo=f"kubectl uncordon {nodes}",
        )
    for cause in diagnosis.causes:
        if cause.made_by is None and cause.detail not in _CURED and not weighed.keeps("nat-gateway"):
            yield _by_hand(cause)


def _by_hand(cause: Cause) -> Step:
    name = cause.detail or cause.root_cause
    text = AZURE.get(name, MITIGATIONS[name]).immediate.removeprefix("Operator: ")
    return Step(what=f"{text[:1].upper()}{text[1:]}", takes="minutes")


def _replaced(situation: AksSituation, leaked: Sequence[str]) -> Step:
    """A drained node's files go with its machine; what is left would fill the range again.

    Options of the command: AKS documentation, upgrade-options (undrainable nodes); the Azure CLI has it since 2.65.0.
    """
    pools = {
        pool.name: pool
        for node in leaked
        if node in situation.aks.nodes and (pool := situation.aks.pool_of(situation.aks.nodes[node])) is not None
    }
    [pool] = pools.values() if len(pools) == 1 else [None]
    where = f"{situation.of_pools} --name {quote(pool.name)}" if pool is not None else ""
    count = known(pool.count) if pool is not None else None
    # A pool with an autoscaler is not scaled by hand: it makes another node by itself where one is wanted.
    autoscaled = pool is not None and known(pool.autoscaling) is not False
    return Step(
        what="Once it is drained, delete its machine, and with it the reservations; then the same with the next, one "
        f"at a time: {listed(leaked)}",
        command=f"az aks nodepool delete-machines {where} --machine-names {quote(leaked[0])}" if where else "",
        takes="minutes a node",
        touches="the pods of that node, and the pool's count: one less each time",
        undo=f"az aks nodepool scale {where} --node-count {count}" if where and count and not autoscaled else "",
    )


def change_steps(situation: AksSituation, weighed: AksWeighed) -> Iterator[Step]:
    """New pools, a larger pod range, and the moves of the outbound type."""
    for pool in weighed.pools:
        yield from pool_steps(situation, pool)
    if weighed.grown is not None:
        yield _ignored("podCidr")
        yield Step(
            what=f"Grow the pod range to {weighed.grown}. That it succeeded does not say that every node has it: "
            "`headroom verify` looks at each NodeNetworkConfig",
            command=f"az aks update {situation.where} --pod-cidr {weighed.grown}",
            takes="minutes",
            touches="nothing that runs; it never shrinks again",
        )
        yield _refreshed()


# The way in place.


def in_place_steps(situation: AksSituation, weighed: AksWeighed) -> Iterator[Step]:
    """The order of operations: nothing before it is possible, nothing left behind, and Pulumi never in between."""
    found = weighed.eligibility
    if found is None or not weighed.in_place:
        return
    nodes, pods = situation.nodes, sum(situation.aks.addressed_on(node) for node in situation.aks.nodes)
    yield _ignored(*IN_PLACE)
    for condition in found.of(Answer.FIRST):
        if condition.rule not in _LATER:
            yield from _first(situation, condition)
    engine = situation.policy
    gap = engine not in ("", "none")
    if gap:
        needs = [
            each for each in found.of(Answer.FIRST) if each.rule == "network-policy" and "Upgrade" in each.next_step
        ]
        for each in needs:
            yield Step(
                what=f"{each.because} Upgrade Kubernetes first, and write the version into the Pulumi program",
                command=_upgrade(situation, "1.30"),
                takes="hours",
            )
        yield Step(
            what=f"Take the network policy engine {engine} out. {POLICY_GAP}",
            command=f"az aks update {situation.where} --network-policy none",
            takes="minutes; nodes are reimaged",
            touches="every network policy: none is enforced until the engine is back",
            undo=f"az aks update {situation.where} --network-policy {quote(engine)}",
        )
    tables = {table for subnet in situation.node_subnets if (table := known(subnet.route_table_id))}
    if tables and known(situation.network.network_plugin) == "kubenet":
        names = listed(sorted(map(resource_name, tables)))
        yield Step(
            what=f"See what else {names} routes: the update takes the pod routes, and a table that AKS manages with "
            "all that is in it",
            command=f"az network route-table show --ids {' '.join(map(quote, sorted(tables)))}",
            takes="seconds",
        )
    if not isinstance(weighed.rules, Unknown):
        yield from map(_rule_step, weighed.rules)
    cidr = f" --pod-cidr {weighed.in_place_cidr}" if weighed.in_place_cidr is not None else ""
    yield Step(
        what=f"Update the cluster. {' '.join(found.consequences[:2])}",
        command=f"az aks update {situation.where} --network-plugin azure --network-plugin-mode overlay{cidr}",
        takes="an hour and more: every node is reimaged",
        touches=f"all {nodes:,} nodes and {pods:,} pods at once; every pod starts anew with another address",
    )
    yield _refreshed()
    if gap:
        yield Step(
            what=f"Put the network policy engine {engine} back: from here on policies are enforced again",
            command=f"az aks update {situation.where} --network-policy {quote(engine)}",
            takes="minutes; nodes are reimaged",
        )
        yield _refreshed()


def _ignored(*fields: str) -> Step:
    told = ", ".join(f'"networkProfile.{name}"' for name in fields)
    return Step(
        what="In the Pulumi program that owns the cluster, first: protect=True and "
        f"ignore_changes=[{told}]. Without them the provider deletes the cluster and makes it anew "
        "(pulumi-azure-native #4756)",
        command="pulumi up",
        takes="seconds",
        touches="nothing in Azure",
    )


def _refreshed() -> Step:
    return Step(
        what="Let Pulumi see it, and see that it plans nothing",
        command="pulumi refresh --yes && pulumi preview --expect-no-changes",
        takes="a minute",
        touches="Pulumi's state alone",
    )


def _upgrade(situation: AksSituation, version: str) -> str:
    return f"az aks upgrade {situation.where} --kubernetes-version {version}"


def _first(situation: AksSituation, condition: Condition) -> Iterator[Step]:
    """What a rule asks for before the update."""
    if condition.rule == "version":
        what = (
            f"{condition.because} Upgrade it first (az aks get-upgrades shows to what), and write the version into the "
            "Pulumi program"
        )
        yield Step(what=what, command=_upgrade(situation, "1.27"), takes="hours")
    elif condition.rule == "identity":
        which = f"{situation.aks.within} --name {quote(f'id-{situation.cluster}')}"
        yield Step(
            what=f"{condition.because} Make one",
            command=f"az identity create {which}",
            takes="seconds",
            undo=f"az identity delete {which}",
        )
        for subnet in situation.node_subnets:
            yield Step(
                what=f"Give it Network Contributor on {subnet.name}, and wait until the role counts",
                command="az role assignment create --role 'Network Contributor' --assignee-principal-type "
                f'ServicePrincipal --assignee-object-id "$(az identity show {which} --query principalId --output tsv)" '
                f"--scope {quote(subnet.subnet_id)}",
                takes="up to an hour",
            )
        yield Step(
            what="Give the cluster that identity, and write it into the Pulumi program, which would take it off again",
            command=f"az aks update {situation.where} --enable-managed-identity --assign-identity "
            f'"$(az identity show {which} --query id --output tsv)"',
            takes="minutes",
            touches="the control plane; nodes take it at their next upgrade",
        )
    else:
        yield Step(what=f"{condition.because} {condition.next_step}".rstrip("."), takes="minutes")


# The way beside it.


def egress_steps(situation: AksSituation, stack: str, *, attaches: bool) -> Iterator[Step]:
    """Addresses first, then the audit, then the attachment.

    Args:
        situation: The cluster.
        stack: The stack of the way out.
        attaches: Whether it puts the gateway on a subnet that exists.
    """
    name = quote(stack)
    yield Step(
        what="Make the static address and the NAT gateway; nothing moves",
        command=f"pulumi stack select --create {name} && pulumi preview --policy-pack policies && pulumi up "
        "--policy-pack policies",
        takes="a minute",
        touches="nothing that runs",
    )
    old = situation.outbound_addresses
    given = "".join(f" --old {address}" for address in old)
    if situation.location:
        given += f" --region {quote(''.join(situation.location.split()).casefold())}"
    yield Step(
        what="See who allow-lists the old address, and put the new one beside it everywhere"
        + (f" (not read: {listed(situation.outbound_unread)}: add --old)" if situation.outbound_unread else "")
        + ("" if old or situation.outbound_unread else " (the old one was not read: add --old)"),
        command=f"headroom audit-egress{given} --new $(pulumi stack output addresses --stack {name} --json | "
        f"tr -d '[]\" \\n' | sed 's/,/ --new /g') --plan changes.sh --inventory lists.yaml --record "
        f"stacks/{record_name(stack)}",
        takes="minutes; changes.sh and lists.yaml take as long as their owners do. Leave --inventory out at first: the "
        "answer ends with that file to be filled in",
        touches="nothing: it reads",
    )
    if attaches:
        yield Step(
            what="Attach it: headroom:attach: true, with the audit's record in the same pull request. The stack takes "
            "the subnet over with everything that it has. From then on the cluster is seen with the new address, and "
            "open connections may break",
            command=f"pulumi config set headroom:attach true --stack {name} && pulumi up --stack {name} --policy-pack "
            "policies",
            takes="a minute",
            touches="every outbound connection of the cluster",
            undo=" && ".join(
                f"az network vnet subnet update --ids {quote(each.subnet_id)} --remove natGateway"
                for each in situation.node_subnets
            ),
        )
    else:
        yield Step(
            what="Let the audit be the gate: headroom:attach: true is refused until every list has the new address",
            command=f"pulumi config set headroom:attach true --stack {name} && pulumi up --stack {name} --policy-pack "
            "policies",
            takes="seconds",
        )


def outbound_steps(situation: AksSituation, weighed: AksWeighed) -> Iterator[Step]:
    """The move of the outbound type, after the gateway is attached."""
    if not weighed.outbound:
        return
    yield _ignored("outboundType")
    first = " Before it, put the new address into authorizedIPRanges" if authorized(situation) else ""
    managed = weighed.outbound == MANAGED_NAT
    yield Step(
        what=f"Move the outbound type to {weighed.outbound}."
        + (" The cluster is seen with another address from then on: audit the allow-lists first." if managed else "")
        + first,
        command=f"az aks update {situation.where} --outbound-type {weighed.outbound}",
        takes="minutes",
        touches="open outbound connections",
        undo=f"az aks update {situation.where} --outbound-type {quote(known_or(situation.network.outbound_type, ''))}"
        if not managed
        else "",
    )
    yield _refreshed()


def authorized(situation: AksSituation) -> bool:
    """Whether the API server may be reached from listed ranges alone."""
    return bool(situation.managed is not None and items(situation.managed.authorized_ranges))


def blue_green_steps(situation: AksSituation, made: Design) -> Iterator[Step]:
    """The new cluster, its proof, the shift, the end of the old one: each waits for what comes before it."""
    if made.egress_stack:
        yield from egress_steps(situation, made.egress_stack, attaches=False)
    yield from map(_rule_step, made.rules)
    overlay, shift = quote(made.overlay_stack), quote(made.traffic_stack)
    if authorized(situation):
        yield Step(
            what=f"Put the new address into authorizedRanges of stacks/Pulumi.{made.overlay_stack}.yaml and into "
            f"egressAddresses of stacks/policy.{made.overlay_stack}.json: nodes reach their API server with it alone",
            command=f"pulumi stack output addresses --stack {quote(made.egress_stack)}" if made.egress_stack else "",
            takes="a minute",
        )
    yield Step(
        what=f"Make {made.cluster} in its own subnet {made.node_subnet}",
        command=f"pulumi stack select --create {overlay} && pulumi up --policy-pack policies --policy-pack-config "
        f"stacks/policy.{made.overlay_stack}.json",
        takes="a quarter of an hour; the role on the subnet may take an hour until it counts",
        touches="nothing that runs",
    )
    yield Step(
        what="See that it is what it should be",
        command=f"headroom verify {situation.reached_by} --cluster {quote(made.cluster)} --plan "
        f"stacks/verify.{made.overlay_stack}.json",
        takes="minutes",
    )
    yield Step(
        what=f"Deploy the workloads to {made.cluster} as well, with every CronJob suspended and every leader-elected "
        "consumer at zero there. Volumes and Secrets do not move; federated credentials need the new OIDC issuer",
        command=f"az aks show {situation.aks.within} --name {quote(made.cluster)} --query "
        "oidcIssuerProfile.issuerUrl --output tsv",
        takes="hours",
        touches="nothing that runs",
    )
    yield _one_side(situation, made, suspend=True)
    yield Step(
        what="Try every NetworkPolicy there: what it allows, and above all what it denies",
        command=f"headroom probes --context {quote(made.cluster)} --run --record "
        f"{quote(f'stacks/{probes_name(made.traffic_stack)}')}",
        takes=f"minutes; the first step waits for its record, which counts for {MAX_AGE.days} days",
        touches=f"{made.cluster} alone: Jobs that are deleted again",
    )
    yield Step(
        what=f"Fill in what no reading knows (`grep -n {FILL_IN} stacks/*{made.traffic_stack}*`), then make the new "
        "origin, disabled; the stack takes the origin group and the old origin over",
        command=f"pulumi stack select --create {shift} && pulumi up --stack {shift} --policy-pack policies",
        takes="a minute",
        touches="the origin group's settings; the new origin is made, disabled",
    )
    for step in DEFAULT_STEPS:
        if step == WHOLE:
            yield _one_side(situation, made, suspend=False)
        yield _shift(made, step)
    retire = quote(made.retire_stack)
    yield Step(
        what=f"Wait {ROLLBACK_WINDOW_DAYS} days, in which the old cluster stays whole and is the way back; let "
        "a stack take it over meanwhile, as it is",
        command=f"pulumi stack select --create {retire} && pulumi up --stack {retire} --policy-pack policies",
        takes=f"{ROLLBACK_WINDOW_DAYS} days",
        touches="nothing that runs",
    )
    left = sorted(pool.name for pool in situation.pools if known(pool.mode) != "System")
    if left:
        yield Step(
            what="After these days, end what still runs on the old cluster's user pools, each pod in its own time",
            command=drain_command(situation.cluster, left),
            takes="minutes a node; PodDisruptionBudgets are kept, and --disable-eviction ends what they hold",
            touches="pods of the old cluster that nobody asks any more",
            undo=f"kubectl --context {quote(situation.cluster)} uncordon --selector {quote(selector(left))}",
        )
    for phase in PHASES[1:]:
        yield Step(
            what=f"{_PHASES[phase]}, in a pull request of its own; refused before the window is over, or if the gate's "
            "history is not clean",
            command=f"pulumi config set headroom:phase {phase} --stack {retire} && pulumi up --stack {retire} "
            "--policy-pack policies",
            takes="minutes",
            touches="the old cluster",
        )


def _shift(made: Design, step: int) -> Step:
    stack = quote(made.traffic_stack)
    return Step(
        what=f"{step} % to {made.cluster}, in a pull request of its own; the gate waits until traffic is split so, "
        f"soaks and compares. Its record ({history_name(made.traffic_stack)}) opens the next step",
        command=f"pulumi config set headroom:step {step} --stack {stack} && pulumi up --stack {stack} --policy-pack "
        f"policies && headroom gate stacks/Pulumi.{made.traffic_stack}.yaml",
        takes="up to 45 minutes until edges have it, and 45 of soak",
        touches="the requests",
        undo=f"pulumi config set headroom:step 0 --stack {stack} && pulumi up --stack {stack}",
    )


def _rule_step(rule: NeededRule) -> Step:
    parts = rule.group_id.split("/")
    # /subscriptions/S/resourceGroups/G/…
    within = f"--subscription {quote(parts[2])} --resource-group {quote(parts[4])} " if len(parts) > 4 else ""  # noqa: PLR2004
    what = (
        f"Allow {rule.source} to {rule.destination} ({rule.direction.lower()}) in the security group {rule.group}, "
        f"before {rule.denied_by}: pods of an overlay are not encapsulated"
    )
    if rule.priority is None:
        return Step(what=f"{what}. No priority is free before it: move {rule.denied_by} down first", takes="minutes")
    where = f"{within}--nsg-name {quote(rule.group)} --name {quote(rule.name)}"
    return Step(
        what=what,
        command=f"az network nsg rule create {where} --priority {rule.priority} --direction {rule.direction} --access "
        f"Allow --protocol '*' --source-address-prefixes {rule.source} --source-port-ranges '*' "
        f"--destination-address-prefixes {rule.destination} --destination-port-ranges '*'",
        takes="seconds",
        touches="what the rule allows",
        undo=f"az network nsg rule delete {where}",
    )


# What runs on one side only.


def one_side_path(situation: AksSituation) -> str:
    """Where the list of what runs on one side only is kept, relative to the checkout."""
    return f"stacks/one-side.{situation.cluster}.txt"


def one_side_file(situation: AksSituation) -> PlannedFile:
    """CronJobs, leader-elected consumers and what KEDA starts: all would work twice if both clusters ran them."""
    return PlannedFile(
        path=one_side_path(situation),
        text=text_of(situation.aks.kubernetes, known_or(situation.snapshot.collected_at, "")),
        purpose="what must not run twice: decide on every line with ?, and add what nobody sees",
    )


def _one_side_told(situation: AksSituation) -> str:
    """How much there is to hold back, in words, with what was not read."""
    kubernetes = situation.aks.kubernetes
    found = entries_of(kubernetes, known_or(situation.snapshot.collected_at, ""))
    running = [each for each in found if each.mark is not Mark.LEFT]
    jobs = sum(each.kind == CRON_JOB for each in running)
    scalers = sum(each.kind in KEDA.values() for each in running)
    told = (
        (jobs, "CronJob", ""),
        (scalers, "scaler of KEDA", "scalers of KEDA"),
        (len(running) - jobs - scalers, "leader", ""),
    )
    counts = listed([counted(count, one, many) for count, one, many in told if count]) or "nothing of it"
    return " ".join((f"{counts} in {situation.cluster}.", *(f"{each}." for each in unread(kubernetes))))


def _one_side(situation: AksSituation, made: Design, *, suspend: bool) -> Step:
    path = quote(one_side_path(situation))
    old, new = quote(situation.cluster), quote(made.cluster)
    told = _one_side_told(situation)

    def stop(where: str) -> str:
        return f"headroom one-side {path} --stop {where} | sh"

    def start(where: str) -> str:
        return f"headroom one-side {path} --start {where} | sh"

    def seen(expected: str) -> str:
        return f"headroom one-side {path} --old {old} --new {new} --expect {expected}"

    if suspend:
        return Step(
            what=f"Hold back in {made.cluster} what must run on one side only, once every line of "
            f"{one_side_path(situation)} is decided: {told}",
            command=f"{stop(new)} && {seen('old')}",
            takes="a minute",
            touches=f"{made.cluster} alone",
        )
    return Step(
        what="Before all traffic moves, hand over what runs on one side only: stop it in the old cluster, let its "
        "last run end, then start it in the new one. It is seen with the new address from then on",
        command=f"{stop(old)} && {seen('neither')} && {start(new)} && {seen('new')}",
        takes="minutes",
        touches="everything that the file lists",
        undo=f"{stop(new)} && {start(old)}",
    )
