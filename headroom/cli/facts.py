"""Where a command gets its facts: a file, or the live cluster. Not a command itself."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

from headroom.addresses.problems import Problem, ProblemsError
from headroom.cli.clouds import takes_cloud
from headroom.diagnosis.verdict import Diagnosis
from headroom.facts.document import load
from headroom.facts.snapshot import Snapshot
from headroom.facts.values import items, known

if TYPE_CHECKING:
    from headroom.facts.azure import HostLocalReading

MOST_BYTES = 2 * 1024**3
"""A snapshot of 150,000 pods is a tenth of this."""


MOST_OF_NODE = 16 * 1024**2
"""Bytes of what a node keeps of addresses: each of its 253 files takes some 150."""


SHOWN_UNREAD = 5
"""Files of a bundle that were not read whole, named one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FactsFrom:
    """Where the facts come from: `file`, or the cluster `cluster` with the ways to reach it.

    `cloud` is `eks` or `aks`; `subscription` and `resource_group` are an AKS cluster's. `quiet` reads without a word.
    """

    file: Path | None = None
    cluster: str = ""
    region: str = ""
    profile: str = ""
    context: str = ""
    endpoint_url: str = ""
    cloud: str = "eks"
    subscription: str = ""
    resource_group: str = ""
    quiet: bool = False


def takes_facts(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds `--facts` and the options that reach a live cluster; the command gets them as `source`."""

    @click.option("--facts", "file", type=click.Path(path_type=Path), help="A snapshot written by `headroom collect`.")
    @click.option("--cluster", default="", help="The EKS or AKS cluster to read instead.")
    @click.option("--region", default="", help="Its Region, where the profile names another.")
    @click.option("--profile", default="", help="Profile of the AWS credentials.")
    @click.option("--context", default="", help="Context of the kubeconfig.")
    @click.option("--endpoint-url", default="", help="Another endpoint for AWS or Azure, such as that of a rehearsal.")
    @takes_cloud
    @wraps(function)
    def run(  # noqa: PLR0913 - one argument for each option
        *args: Any,
        file: Path | None,
        cluster: str,
        region: str,
        profile: str,
        context: str,
        endpoint_url: str,
        cloud: str,
        subscription: str,
        resource_group: str,
        **options: Any,
    ) -> Any:
        if (file is None) == (not cluster):
            raise ProblemsError(
                [
                    Problem(
                        rule="where-from",
                        value="--facts and --cluster" if cluster else "Neither --facts nor --cluster",
                        reason="are both given." if cluster else "is given.",
                        next_step="Name a snapshot (--facts FILE) or a cluster to read (--cluster NAME).",
                    )
                ],
                subject="command line",
            )
        source = FactsFrom(
            file=file,
            cluster=cluster,
            region=region,
            profile=profile,
            context=context,
            endpoint_url=endpoint_url,
            cloud=cloud,
            subscription=subscription,
            resource_group=resource_group,
        )
        return function(*args, source=source, **options)

    return run


def read_facts(source: FactsFrom) -> Snapshot:
    """The snapshot, from the file or from the cluster; a live reading shows its progress on standard error.

    Raises:
        ProblemsError: The file cannot be read or is no snapshot; the cluster cannot be found.
    """
    if source.file is not None:
        return load(read_text(source.file), subject=source.file.name)
    from headroom.cli.collect import collect_live  # noqa: PLC0415 - the SDKs take a second to load

    return collect_live(
        source.cluster,
        region=source.region,
        profile=source.profile,
        context=source.context,
        endpoint_url=source.endpoint_url,
        quiet=source.quiet,
        cloud=source.cloud,
        subscription=source.subscription,
        resource_group=source.resource_group,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a diagnosis takes its facts from: one of the first four, and logs beside it or alone.

    Attributes:
        live: A snapshot, or a cluster and the ways to reach it.
        bundle: A folder of outputs, an archive, or a snapshot.
        case: A case file.
        logs: Log files.
    """

    live: FactsFrom
    bundle: Path | None = None
    case: Path | None = None
    logs: tuple[Path, ...] = ()

    def option(self) -> str:
        """How a command that needs the facts of a whole cluster, such as `headroom plan`, is given the same."""
        if self.live.file is not None:
            return f"--facts {quote(str(self.live.file))}"
        named = f"--cluster {quote(self.live.cluster or 'NAME')}"
        if self.live.cloud != "aks":
            return named
        where = (("--subscription", self.live.subscription), ("--resource-group", self.live.resource_group))
        return " ".join(["--cloud aks", *(f"{option} {quote(text)}" for option, text in where if text), named])

    def options(self) -> str:
        """How a command that takes any source is given the same."""
        if self.live.file is not None or self.live.cluster:
            named = [self.option()]
        else:
            given = (("--bundle", self.bundle), ("--case", self.case))
            named = [f"{option} {quote(str(path))}" for option, path in given if path is not None]
        return " ".join([*named, *(f"--log {quote(str(path))}" for path in self.logs)])


def takes_any_source(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options for a cluster, a snapshot, a bundle, a case file and logs; the command gets a `Source`."""

    @click.option("--cluster", default="", help="The EKS or AKS cluster to read.")
    @click.option("--facts", type=click.Path(path_type=Path), help="A snapshot written by `headroom collect`.")
    @click.option("--bundle", type=click.Path(path_type=Path), help="A folder of outputs, or an EKS log archive.")
    @click.option("--case", type=click.Path(path_type=Path), help="A case file: lines, and what is known.")
    @click.option(
        "--log",
        "logs",
        multiple=True,
        type=click.Path(path_type=Path),
        help="A log file, or a node's host-local files; more follow.",
    )
    @click.argument("more", nargs=-1, type=click.Path(path_type=Path), metavar="[FILE]...")
    @click.option("--region", default="", help="With --cluster: its Region.")
    @click.option("--profile", default="", help="With --cluster: profile of the AWS credentials.")
    @click.option("--context", default="", help="With --cluster: context of the kubeconfig.")
    @click.option("--endpoint-url", default="", help="With --cluster: another endpoint for AWS, or for Azure.")
    @takes_cloud
    @wraps(function)
    def run(  # noqa: PLR0913 - one argument for each option
        *args: Any,
        cluster: str,
        facts: Path | None,
        bundle: Path | None,
        case: Path | None,
        logs: tuple[Path, ...],
        more: tuple[Path, ...],
        region: str,
        profile: str,
        context: str,
        endpoint_url: str,
        cloud: str,
        subscription: str,
        resource_group: str,
        **options: Any,
    ) -> Any:
        _check_sources(cluster=cluster, facts=facts, bundle=bundle, case=case, logs=logs, more=more)
        live = FactsFrom(
            file=facts,
            cluster=cluster,
            region=region,
            profile=profile,
            context=context,
            endpoint_url=endpoint_url,
            cloud=cloud,
            subscription=subscription,
            resource_group=resource_group,
        )
        return function(*args, source=Source(live=live, bundle=bundle, case=case, logs=(*logs, *more)), **options)

    return run


def _check_sources(**given: Any) -> None:
    names = [name for name in ("cluster", "facts", "bundle", "case") if given[name]]
    stray = given["more"] if not given["logs"] else ()
    if not stray and (len(names) == 1 or (not names and given["logs"])):
        return
    if stray:
        problem = Problem(
            rule="where-from",
            value=str(stray[0]),
            reason="follows no option that says what it is.",
            next_step="Write --log before logs, else --bundle, --case or --facts before it.",
        )
        raise ProblemsError([problem], subject="command line")
    options = " and ".join(f"--{name}" for name in names)
    problem = Problem(
        rule="where-from",
        value=options or "Nothing",
        reason="are both given." if len(names) > 1 else "is given to read.",
        next_step="Name one of --cluster NAME, --facts FILE, --bundle PATH, --case FILE, or logs by --log FILE.",
    )
    raise ProblemsError([problem], subject="command line")


def read_source(source: Source) -> Snapshot:
    """The snapshot of a source, with what its logs say.

    Raises:
        ProblemsError: Something of it cannot be read, or is not what it is given as.
    """
    snapshot = _without_logs(source)
    if source.logs:
        snapshot = _with_logs(snapshot, source.logs)
    if source.bundle is not None or source.logs:
        _tell_unread(snapshot)
    return snapshot


def _tell_unread(snapshot: Snapshot) -> None:
    """Says on standard error which files of a bundle were left out, or read in part."""
    from headroom.report.text import clean  # noqa: PLC0415 - only for bundles

    short = [each for each in snapshot.sources if each.outcome]
    for each in short[:SHOWN_UNREAD]:
        click.echo(f"  ✗ {clean(each.name)}: {clean(each.outcome, 300)}", err=True)
    if len(short) > SHOWN_UNREAD:
        click.echo(f"  ✗ and {len(short) - SHOWN_UNREAD:,} more files", err=True)


def _without_logs(source: Source) -> Snapshot:
    if source.case is not None:
        from headroom.collect.case import read_case  # noqa: PLC0415 - only for a case file

        return read_case(source.case)
    if source.bundle is not None:
        from headroom.collect.bundle import read_bundle  # noqa: PLC0415 - only for a bundle

        return read_bundle(source.bundle)
    if source.live.file is not None or source.live.cluster:
        return read_facts(source.live)
    return Snapshot()


def _with_logs(snapshot: Snapshot, logs: tuple[Path, ...]) -> Snapshot:
    from headroom.collect.azure_bundle import host_local_reading, is_host_local  # noqa: PLC0415 - only for logs
    from headroom.collect.logs import open_log, scan  # noqa: PLC0415 - the same

    problems: list[Problem] = []
    lines, sources = list(items(snapshot.lines)), list(snapshot.sources)
    nodes: list[HostLocalReading] = []
    for path in logs:
        try:
            with open_log(path) as stream:
                # What the command prints that a diagnosis names for a node of kubenet.
                if is_host_local(stream.peek().decode("utf-8", "replace")):
                    nodes.append(host_local_reading(stream.read(MOST_OF_NODE).decode("utf-8", "replace")))
                    continue
                found, read = scan(stream, path.name)
        except ProblemsError as error:
            problems += error.problems
            continue
        lines += found
        sources.append(read)
    if problems:
        raise ProblemsError(problems, subject="logs")
    return replace(_with_nodes(snapshot, nodes), lines=tuple(lines), sources=tuple(sources))


def _with_nodes(snapshot: Snapshot, nodes: list["HostLocalReading"]) -> Snapshot:
    if not nodes:
        return snapshot
    from headroom.facts.azure import Azure  # noqa: PLC0415 - only for such files

    azure = known(snapshot.azure) or Azure()
    read = {each.node: each for each in (*items(azure.host_local), *nodes)}
    cloud = snapshot.cloud if known(snapshot.cloud) else "azure"
    return replace(snapshot, cloud=cloud, azure=replace(azure, host_local=tuple(read.values())))


def diagnosed(snapshot: Snapshot) -> Diagnosis:
    """The diagnosis of a snapshot."""
    from headroom.diagnosis.classifier import diagnose  # noqa: PLC0415 - the signatures take a while to compile

    return diagnose(snapshot)


def read_text(path: Path, *, wrote: str = "headroom collect") -> str:
    """A file's text.

    Args:
        path: The file.
        wrote: The command that writes such files.

    Raises:
        ProblemsError: It is not there, too large, or no text.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise _refused(path, "is larger than any snapshot.", wrote)
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise _refused(path, "is no text in UTF-8.", wrote) from None
    except OSError as error:
        raise _refused(path, f"cannot be read: {error.strerror}.", wrote) from None


def _refused(path: Path, reason: str, wrote: str) -> ProblemsError:
    problem = Problem(rule="facts-file", value=str(path), reason=reason, next_step=f"Name a file that `{wrote}` wrote.")
    return ProblemsError([problem], subject="facts")
