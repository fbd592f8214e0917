"""`headroom collect`, and the reading of a live cluster for the other commands."""

import secrets
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import click

from headroom.addresses.problems import Problem, ProblemsError
from headroom.cli.clouds import quieten, takes_cloud

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status

    from headroom.facts.snapshot import Snapshot, Source

EXIT_CODES: Final = {"read": 0, "essential values missing": 3}
"""2, for bad input, is `headroom.cli`'s."""

SECONDS: Final = 60
PLAIN_WIDTH: Final = 160
"""Columns where no terminal says how many it has."""

MOST_NAMES: Final = 4
"""Readings that failed for one reason, as far as a line names them."""

SHOWN: Final[Mapping[str, Sequence[tuple[str, str]]]] = {
    "kubernetes": (("pods", "pods"), ("nodes", "nodes"), ("events", "events"), ("services", "services")),
    "ec2": (("DescribeSubnets", "subnets"), ("DescribeNetworkInterfaces", "interfaces")),
    "eks": (("DescribeNodegroup", "managed node groups"),),
    "ipamd": (("metrics", "nodes"),),
    "aws-node": (("logs", "lines"),),
    "azure": (("agentPools", "node pools"), ("virtualNetworks", "VNets"), ("routeTables", "route tables")),
}
"""What is said of each source: its readings, and what their things are called."""


@click.command()
@click.option("--cluster", help="The EKS or AKS cluster.")
@click.option("--region", default="", help="Its Region, where the profile names another.")
@click.option("--profile", default="", help="Profile of the AWS credentials.")
@click.option("--context", default="", help="Context of the kubeconfig; else the one named after the cluster.")
@click.option("--endpoint-url", default="", help="Another endpoint for AWS or Azure, such as that of a rehearsal.")
@takes_cloud
@click.option("--pseudonyms", is_flag=True, help="Replace names, ids and addresses; a diagnosis stays the same.")
@click.option("--deep", is_flag=True, help="Also what costs calls and seldom matters (quotas, reservations).")
@click.option("--timeout", type=click.IntRange(1, 3600), default=SECONDS, show_default=True, help="Seconds in all.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Where to write; - is standard output.")
@click.option(
    "--permissions",
    type=click.Choice(["iam", "rbac", "rbac-verify", "rbac-probes", "azure", "rbac-aks"]),
    help="Print what a reader, or `headroom verify`, may do, and nothing else.",
)
def collect(  # noqa: PLR0913 - one argument for each option
    cluster: str | None,
    region: str,
    profile: str,
    context: str,
    endpoint_url: str,
    *,
    cloud: str,
    subscription: str,
    resource_group: str,
    pseudonyms: bool,
    deep: bool,
    timeout: int,
    output: Path | None,
    permissions: str | None,
) -> None:
    """Read a live cluster into a snapshot; nothing is changed, and nothing secret is read.

    \b
    headroom collect --cluster prod-use1 -o prod-use1.json
    headroom collect --cloud aks --subscription ID --resource-group rg-prod --cluster aks-prod

    Exit code 0: all that a diagnosis needs was read; 2: bad input; 3: something essential could not be read.
    """  # noqa: D301 - click's mark for a paragraph that is not to be wrapped
    if permissions:
        from headroom.collect import permissions as texts  # noqa: PLC0415 - only for this

        click.echo(texts.permissions(permissions), nl=False)
        return
    if not cluster:
        raise ProblemsError([_no_cluster()], subject="headroom collect")
    file = output if output is not None else Path(f"{cluster}-facts.json")
    _check_writable(file)
    snapshot = collect_live(
        cluster,
        region=region,
        profile=profile,
        context=context,
        endpoint_url=endpoint_url,
        deep=deep,
        seconds=timeout,
        cloud=cloud,
        subscription=subscription,
        resource_group=resource_group,
    )
    sys.exit(_finish(snapshot, file, pseudonyms=pseudonyms))


def collect_live(  # noqa: PLR0913 - the options of the commands, by keyword
    cluster: str,
    *,
    region: str = "",
    profile: str = "",
    context: str = "",
    endpoint_url: str = "",
    deep: bool = False,
    seconds: float = SECONDS,
    quiet: bool = False,
    cloud: str = "eks",
    subscription: str = "",
    resource_group: str = "",
) -> "Snapshot":
    """Reads a cluster, and shows its progress on standard error.

    Args:
        cluster: The cluster's name.
        region: Its Region; empty: as configured.
        profile: Profile of the AWS configuration; empty: as configured.
        context: Context of the kubeconfig; empty: the one named after the cluster, or the current one.
        endpoint_url: Another endpoint for AWS, or for Azure.
        deep: Also what costs calls and seldom matters.
        seconds: Time limit of the whole.
        quiet: Show nothing.
        cloud: eks or aks.
        subscription: AKS: the cluster's subscription; empty: as AZURE_SUBSCRIPTION_ID says.
        resource_group: AKS: its resource group.

    Raises:
        ProblemsError: The cluster, context, profile, Region or subscription cannot be found.
    """
    if cloud == "aks" and not resource_group:
        raise ProblemsError([_no_group(cluster)], subject="headroom collect")
    if cloud != "aks" and (resource_group or subscription):
        raise ProblemsError([_no_cloud(cluster, resource_group)], subject="headroom collect")
    from rich.console import Console  # noqa: PLC0415 - not for --help

    console = Console(stderr=True, quiet=quiet, highlight=False, width=None if sys.stderr.isatty() else PLAIN_WIDTH)
    console.print(f"Reading {cluster}", markup=False)
    started = time.monotonic()
    with _Spinner(console, cluster) as spinner:
        if cloud == "aks":
            # Imported here: the SDKs take half a second, and the line above should not wait for them.
            from headroom.collect.azure_session import rehearsal_options  # noqa: PLC0415
            from headroom.collect.azure_snapshot import collect_aks  # noqa: PLC0415

            quieten()
            snapshot = collect_aks(
                cluster,
                resource_group=resource_group,
                subscription=subscription,
                context=context,
                options=rehearsal_options(endpoint_url),
                progress=spinner.took,
                seconds=seconds,
            )
            _show_sources(console, snapshot, time.monotonic() - started)
            return snapshot
        # Imported here: the SDKs take half a second, and the line above should not wait for them.
        from headroom.collect.snapshot import collect as read  # noqa: PLC0415

        quieten()
        snapshot = read(
            cluster,
            region=region,
            profile=profile,
            context=context,
            endpoint_url=endpoint_url,
            interesting=_means_something(),
            progress=spinner.took,
            seconds=seconds,
            deep=deep,
        )
    _show_sources(console, snapshot, time.monotonic() - started)
    return snapshot


def _means_something() -> Callable[[str], bool]:
    from headroom.diagnosis.signatures import match  # noqa: PLC0415 - it takes a while to compile
    from headroom.facts.snapshot import Origin  # noqa: PLC0415 - with it

    return lambda line: bool(match(line, origin=Origin.AWS_NODE_LOG, cloud="aws"))


class _Spinner:
    """At a terminal, what is being read; nothing elsewhere."""

    def __init__(self, console: "Console", cluster: str) -> None:
        self._cluster = cluster
        self._read: list[str] = []
        self._status: Status | None = console.status(f"{cluster} …") if console.is_terminal else None

    def __enter__(self) -> Self:
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()

    def took(self, source: "Source") -> None:
        """A reading has ended."""
        self._read.append(source.name)
        if self._status is not None:
            self._status.update(f"{len(self._read)} readings, last {source.name}")


def _show_sources(console: "Console", snapshot: "Snapshot", seconds: float) -> None:
    from headroom.collect.budget import budget  # noqa: PLC0415 - loaded by now

    groups: dict[str, list[Source]] = {}
    for source in snapshot.sources:
        groups.setdefault(source.name.partition(" ")[0], []).append(source)
    for group, sources in groups.items():
        if group in SHOWN:
            _show_group(console, group, sources)
    for outcome, names in _failures(snapshot.sources).items():
        console.print(f"  ✗ {names}: {outcome}", style="yellow", markup=False, soft_wrap=True)
    requests = sum(source.calls for source in snapshot.sources) - budget(snapshot).calls
    console.print(f"  {seconds:.1f} s, {budget(snapshot)}, {requests} requests to the API server", markup=False)


def _show_group(console: "Console", group: str, sources: Sequence["Source"]) -> None:
    read = {source.name.partition(" ")[2]: source for source in sources}
    counted = [
        f"{read[name].items:,} {things.removesuffix('s') if read[name].items == 1 else things}"
        for name, things in SHOWN[group]
        if name in read and not read[name].outcome
    ]
    if counted:
        console.print(f"  ✓ {group:<10} {', '.join(counted)}", markup=False)


def _failures(sources: Sequence["Source"]) -> dict[str, str]:
    """What could not be read, by why; what was not asked for on purpose left out."""
    found: dict[str, list[str]] = {}
    for source in sources:
        if source.outcome and not source.outcome.startswith("not collected"):
            found.setdefault(source.outcome, []).append(source.name)
    return {
        outcome: ", ".join(names[:MOST_NAMES]) + (f" and {len(names) - MOST_NAMES} more" if names[MOST_NAMES:] else "")
        for outcome, names in found.items()
    }


def _finish(snapshot: "Snapshot", file: Path, *, pseudonyms: bool) -> int:
    from headroom.collect.budget import missing  # noqa: PLC0415 - loaded by now
    from headroom.facts.document import dump  # noqa: PLC0415 - the same

    if pseudonyms:
        from headroom.facts.pseudonyms import pseudonymised  # noqa: PLC0415 - only for this

        snapshot = pseudonymised(snapshot, secrets.token_bytes(32))
    text = dump(snapshot)
    if str(file) == "-":
        click.echo(text, nl=False)
    else:
        _write(file, text)
        click.echo(f"Wrote {file} ({len(text) / 1e6:,.1f} MB).", err=True)
        click.echo(f"Next: headroom diagnose --bundle {file}", err=True)
    lacking = missing(snapshot)
    if lacking:
        click.echo(f"A diagnosis may stay undecided without {_by_reason(lacking)}.", err=True)
    return EXIT_CODES["essential values missing" if lacking else "read"]


def _by_reason(lacking: Sequence[tuple[str, object]]) -> str:
    names: dict[str, list[str]] = {}
    for name, unknown in lacking:
        names.setdefault(str(unknown), []).append(name)
    return "; ".join(f"{', '.join(listed)}: {reason}" for reason, listed in names.items())


def _write(file: Path, text: str) -> None:
    """Writes a file that only its owner can read: it holds names and addresses."""
    try:
        file.touch(mode=0o600)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ProblemsError([_not_writable(file, error.strerror or "it failed")], subject="headroom collect") from None


def _check_writable(file: Path) -> None:
    """Finds out before the reading that its result will have a place.

    Raises:
        ProblemsError: The folder does not exist, or the name is that of a folder.
    """
    if str(file) == "-":
        return
    if file.is_dir():
        raise ProblemsError([_not_writable(file, "it is a folder")], subject="headroom collect")
    if not file.parent.is_dir():
        raise ProblemsError([_not_writable(file, f"there is no folder {file.parent}")], subject="headroom collect")


def _not_writable(file: Path, why: str) -> Problem:
    return Problem(
        rule="output-writable",
        value=str(file),
        reason=f"cannot be written: {why}.",
        next_step="Name a file in a folder that exists, or - for standard output.",
        key="--output",
    )


def _no_group(cluster: str) -> Problem:
    return Problem(
        rule="resource-group-named",
        value="No resource group",
        reason=f"is given for {cluster}.",
        next_step="Give --resource-group: `az aks list --output table` shows each cluster's.",
        key="--resource-group",
    )


def _no_cloud(cluster: str, resource_group: str) -> Problem:
    return Problem(
        rule="cloud-named",
        value="--resource-group" if resource_group else "--subscription",
        reason=f"is of AKS, and {cluster} is looked for in EKS.",
        next_step="Give --cloud aks too, or leave it out.",
        key="--cloud",
    )


def _no_cluster() -> Problem:
    return Problem(
        rule="cluster-named",
        value="No cluster",
        reason="is given.",
        next_step="Name it: `aws eks list-clusters` or `az aks list --output table` lists them.",
        key="--cluster",
    )
