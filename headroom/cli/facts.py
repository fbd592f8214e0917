"""Where a command gets its facts: a file, or the live cluster. Not a command itself."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import click

from headroom.addresses.problems import Problem, ProblemsError
from headroom.diagnosis.verdict import Diagnosis
from headroom.facts.document import load
from headroom.facts.snapshot import Snapshot

MOST_BYTES = 2 * 1024**3
"""A snapshot of 150,000 pods is a tenth of this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FactsFrom:
    """Where the facts come from: `file`, or the cluster `cluster` with the ways to reach it."""

    file: Path | None = None
    cluster: str = ""
    region: str = ""
    profile: str = ""
    context: str = ""
    endpoint_url: str = ""


def takes_facts(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds `--facts` and the options that reach a live cluster; the command gets them as `source`."""

    @click.option("--facts", "file", type=click.Path(path_type=Path), help="A snapshot written by `headroom collect`.")
    @click.option("--cluster", default="", help="The EKS cluster to read instead.")
    @click.option("--region", default="", help="Its Region, where the profile names another.")
    @click.option("--profile", default="", help="Profile of the AWS credentials.")
    @click.option("--context", default="", help="Context of the kubeconfig.")
    @click.option("--endpoint-url", default="", help="Another endpoint for AWS, such as that of a rehearsal.")
    @wraps(function)
    def run(  # noqa: PLR0913 - one argument for each option
        *args: Any,
        file: Path | None,
        cluster: str,
        region: str,
        profile: str,
        context: str,
        endpoint_url: str,
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
            file=file, cluster=cluster, region=region, profile=profile, context=context, endpoint_url=endpoint_url
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
    )


def diagnosed(snapshot: Snapshot) -> Diagnosis:
    """The diagnosis of a snapshot."""
    from headroom.diagnosis.classifier import diagnose  # noqa: PLC0415 - the signatures take a while to compile

    return diagnose(snapshot)


def read_text(path: Path) -> str:
    """A file's text.

    Raises:
        ProblemsError: It is not there, too large, or no text.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise _refused(path, "is larger than any snapshot.")
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise _refused(path, "is no text in UTF-8.") from None
    except OSError as error:
        raise _refused(path, f"cannot be read: {error.strerror}.") from None


def _refused(path: Path, reason: str) -> ProblemsError:
    problem = Problem(
        rule="facts-file", value=str(path), reason=reason, next_step="Name a file that `headroom collect` wrote."
    )
    return ProblemsError([problem], subject="facts")
