"""The stand-in for Pulumi's `aws` provider: `python -m headroom.rehearsal.providers.aws --endpoint URL`.

It prints its port as one line and is attached with `PULUMI_DEBUG_PROVIDERS=aws:PORT`. What it creates lives
in the simulated AWS at the endpoint, so that a refresh sees what others changed there.
"""

import threading
from collections.abc import Sequence
from pathlib import Path

from headroom.rehearsal.providers import aws_eks, aws_functions, aws_network, aws_trigger, aws_watch
from headroom.rehearsal.providers.aws_api import DEFAULT_REGION, api_error_text, client, use_endpoint
from headroom.rehearsal.providers.common import (
    DEFAULT_PATIENCE_SECONDS,
    Failure,
    Package,
    argument_parser,
    run,
)
from headroom.rehearsal.providers.process import Helper, start_helper
from headroom.rehearsal.providers.values import Properties

NOT_SIMULATED = ("ignoreTags", "allowedAccountIds", "forbiddenAccountIds")
"""Configuration of the real provider that would change the outcome, and that this one does not know."""


def check_configuration(configuration: Properties) -> list[Failure]:
    """Refuse what would be silently without effect."""
    return [
        Failure(name, f"The rehearsal's stand-in for aws does not simulate {name}.")
        for name in NOT_SIMULATED
        if configuration.get(name)
    ]


PACKAGE = Package(
    name="aws",
    distribution="pulumi-aws",
    kinds=(*aws_network.KINDS, *aws_eks.KINDS, *aws_watch.KINDS, *aws_trigger.KINDS),
    functions=aws_functions.FUNCTIONS,
    check_configuration=check_configuration,
    explain=api_error_text,
)


def start_provider(
    folder: Path, endpoint: str, *, patience: float = DEFAULT_PATIENCE_SECONDS, region: str = DEFAULT_REGION
) -> Helper:
    """Start the stand-in as a process of its own.

    Args:
        folder: Where its logs go: `aws-provider.log`, and `aws-provider.jsonl` with one line a request.
        endpoint: URL of the simulated AWS.
        patience: Seconds that an operation may take where the program sets no custom timeout.
        region: The Region whose clients are made ready beforehand.

    Raises:
        HelperError: It did not start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    arguments = ["--endpoint", endpoint, "--patience", str(patience), "--region", region]
    arguments += ["--log", str(folder / "aws-provider.jsonl")]
    return start_helper("headroom.rehearsal.providers.aws", arguments, log=folder / "aws-provider.log")


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until a signal comes, or standard input closes."""
    parser = argument_parser("aws")
    parser.add_argument("--endpoint", required=True, help="URL of the simulated AWS")
    parser.add_argument("--region", default=DEFAULT_REGION, help="Region whose clients are made beforehand")
    options = parser.parse_args(arguments)
    use_endpoint(options.endpoint)
    # Reading the API's description takes half a second; do it while the engine gets going.
    threading.Thread(target=client, args=("ec2", options.region), daemon=True).start()
    run(PACKAGE, options)


if __name__ == "__main__":
    main()
