"""What is imported is asked for in pyproject.toml, and does not come by chance with something else."""

import ast
import re
import sys
import tomllib
from collections import defaultdict
from functools import cache
from importlib.metadata import packages_distributions

from toolchain.versions import CHECKOUT

OURS = ("headroom", "components", "stacks", "policies", "toolchain")
PART_OF = {
    "botocore": "boto3",
    "azure-core": "azure-mgmt-core",
    "markupsafe": "jinja2",
    "werkzeug": "flask",
    # The engine speaks gRPC: which versions of both agree is the SDK's to say.
    "grpcio": "pulumi",
    "protobuf": "pulumi",
}
"""What is part of the interface of a package that is asked for, which says the version too."""


def imported(folders: tuple[str, ...]) -> dict[str, set[str]]:
    """Top-level packages of others, each with the files that import it."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for folder in folders:
        for package, files in imported_by(folder).items():
            found[package] |= files
    return dict(found)


@cache
def imported_by(folder: str) -> dict[str, set[str]]:
    found: defaultdict[str, set[str]] = defaultdict(set)
    for path in (CHECKOUT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            for name in names:
                package = name.partition(".")[0]
                if package not in sys.stdlib_module_names and package not in OURS:
                    found[package].add(str(path.relative_to(CHECKOUT)))
    return dict(found)


def asked_for() -> set[str]:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"], *project["optional-dependencies"]["rehearsal"]]
    return {re.split(r"[\[<>=]", line)[0] for line in lines}


def test_every_package_that_is_imported_is_asked_for() -> None:
    distributions, declared = packages_distributions(), asked_for()
    missing = {}
    for package, files in imported(("headroom", "components", "stacks", "policies", "templates")).items():
        if package.startswith("mypy_boto3_"):
            # Types, for the type checker alone.
            continue
        names = {name.lower().replace("_", "-") for name in distributions[package]}
        if not {PART_OF.get(name, name) for name in names} & declared:
            missing[package] = files
    assert missing == {}


def test_what_comes_with_others_is_still_imported() -> None:
    distributions = packages_distributions()
    names = {name.lower().replace("_", "-") for package in imported(OURS) for name in distributions.get(package, ())}
    assert set(PART_OF) <= names


def test_the_job_that_writes_asks_for_the_same_versions() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = (CHECKOUT / "templates" / "ci" / "propose.in").read_text(encoding="utf-8").splitlines()
    wanted = [line for line in lines if line and not line.startswith("#")]
    assert wanted == [line for line in project["dependencies"] if line.startswith("urllib3")]
