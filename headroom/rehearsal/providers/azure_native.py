"""The stand-in for Pulumi's `azure-native` provider: `python -m headroom.rehearsal.providers.azure_native`.

It prints its port as one line and is attached with `PULUMI_DEBUG_PROVIDERS=azure-native:PORT`. What it creates lives
in the simulated Azure at the endpoint, so that a refresh sees what others changed there.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from headroom.rehearsal.arm.endpoint import Endpoint
from headroom.rehearsal.providers.azure_api import error_text, use_endpoint
from headroom.rehearsal.providers.azure_functions import FUNCTIONS
from headroom.rehearsal.providers.azure_kinds import KINDS
from headroom.rehearsal.providers.common import DEFAULT_PATIENCE_SECONDS, Package, argument_parser, run
from headroom.rehearsal.providers.process import Helper, start_helper

PACKAGE: Final = Package(
    name="azure-native",
    distribution="pulumi-azure-native",
    kinds=KINDS,
    functions=FUNCTIONS,
    explain=error_text,
)


def start_provider(folder: Path, arm: Endpoint, *, patience: float = DEFAULT_PATIENCE_SECONDS) -> Helper:
    """Start the stand-in as a process of its own.

    Args:
        folder: Where its logs go: `azure-native-provider.log`, and `.jsonl` with one line a request.
        arm: The simulated Azure.
        patience: Seconds that an operation may take where the program sets no custom timeout.

    Raises:
        HelperError: It did not start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    arguments = ["--endpoint", arm.url, "--certificate", str(arm.certificate), "--patience", str(patience)]
    arguments += ["--log", str(folder / "azure-native-provider.jsonl")]
    module = "headroom.rehearsal.providers.azure_native"
    return start_helper(module, arguments, log=folder / "azure-native-provider.log")


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until a signal comes, or standard input closes."""
    parser = argument_parser("azure-native")
    parser.add_argument("--endpoint", required=True, help="URL of the simulated Azure")
    parser.add_argument("--certificate", required=True, type=Path, help="the certificate to trust")
    options = parser.parse_args(arguments)
    use_endpoint(options.endpoint, options.certificate)
    run(PACKAGE, options)


if __name__ == "__main__":
    main()
