"""What the set-up provides, in which versions: the one home of every pin that is not in a lock file."""

import re
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent

PYTHON_MINIMUM = (3, 11)
"""The oldest Python that the project supports (`requires-python` in pyproject.toml)."""

PULUMI = "3.259.0"
"""The engine that is fetched or built: Go module proxies serve this version, and the locked SDK agrees."""

ETCD = "3.6.6"
KUBERNETES = "1.35.0"

PROMETHEUS = "3.13.1"
"""Of promtool. As a Go module it is v0.313.1 (prometheus/prometheus, RELEASE.md)."""

ACTIONLINT = "1.7.12"

UV_MINIMUM = (0, 5, 0)
"""An installed uv serves from here on (universal locks with hashes, `UV_DEFAULT_INDEX`)."""


def parse_version(text: str) -> tuple[int, ...]:
    """The first dotted version number in a text as integers; empty when there is none.

    >>> parse_version("etcd Version: 3.6.6")
    (3, 6, 6)
    """
    found = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", text)
    return tuple(int(part) for part in found.groups() if part is not None) if found else ()


def dotted(version: tuple[int, ...]) -> str:
    """A version as it is written."""
    return ".".join(str(part) for part in version)


def pulumi_minimum(checkout: Path = CHECKOUT) -> tuple[int, ...]:
    """The oldest Pulumi CLI that serves: what Pulumi.yaml asks for, and never older than the locked SDK.

    An engine older than the SDK lacks what the SDK may ask of it; a newer one serves older SDKs.
    """
    asked = [sdk_version(checkout)]
    project = checkout / "Pulumi.yaml"
    if project.exists():
        found = re.search(r"^requiredPulumiVersion:\s*[\"']?>=\s*([\d.]+)", project.read_text("utf-8"), re.MULTILINE)
        if found:
            asked.append(parse_version(found[1]))
    return max(asked)


def sdk_version(checkout: Path = CHECKOUT) -> tuple[int, ...]:
    """The Pulumi SDK's version in requirements.lock."""
    found = re.search(r"^pulumi==([\d.]+)", (checkout / "requirements.lock").read_text("utf-8"), re.MULTILINE)
    return parse_version(found[1]) if found else parse_version(PULUMI)


def go_minimum(checkout: Path = CHECKOUT) -> tuple[int, ...]:
    """The oldest Go that builds all our Go modules: the highest `go` line among them."""
    modules = sorted((checkout / "toolchain").glob("*/go.mod"))
    lines = (re.search(r"^go\s+([\d.]+)", module.read_text("utf-8"), re.MULTILINE) for module in modules)
    return max(parse_version(line[1]) for line in lines if line)
