"""The law of the house, kept by reading imports.

The pure rooms import the standard library and downward only. `collect`, `components` and `policies` never import each
other. Nothing but `cli`, `rehearsal` and `stacks` joins them. What a real run needs imports nothing of a rehearsal.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

CHECKOUT = Path(__file__).parents[1]
# From the bottom up: each may import those before it, and the standard library.
PURE = ("addresses", "capacity", "facts", "diagnosis", "planning")
# Rooms beside each other: what they have in common lies in a pure room.
BESIDE = ("headroom.collect", "components", "policies")
JOINING = ("headroom.cli", "headroom.rehearsal", "stacks")
PRODUCT = ("headroom", "components", "stacks", "policies")
REHEARSAL_ONLY = ("headroom.rehearsal", "toolchain", "moto", "flask", "pytest", "werkzeug")
FUNCTION = "components.publisher"
CLOUD_SDKS = ("boto3", "botocore", "kubernetes", "azure")
PROVIDER_SDKS = ("pulumi_aws", "pulumi_kubernetes", "pulumi_azure_native")


def within(module: str, rooms: Iterable[str]) -> bool:
    return any(module == room or module.startswith(f"{room}.") for room in rooms)


def module_of(path: Path) -> str:
    parts = path.relative_to(CHECKOUT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] in ("__init__", "__main__") else parts)


def imports_of(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in the file, with the names that it takes from packages."""
    package = module_of(path) if path.stem in ("__init__", "__main__") else module_of(path).rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            yield source
            # `from headroom import rehearsal` names a module too; a name that is none does no harm.
            yield from (f"{source}.{alias.name}" for alias in node.names)


@cache
def edges() -> frozenset[tuple[str, str]]:
    """Importing and imported module, for all of the product and of the rehearsal."""
    files = [path for room in PRODUCT for path in (CHECKOUT / room).rglob("*.py")]
    assert len(files) > 20, "the rooms were not found"
    return frozenset((module_of(path), imported) for path in files for imported in imports_of(path))


def broken(importing: Iterable[str], imported: Iterable[str], *, but: Iterable[str] = ()) -> list[str]:
    """Imports from the one rooms into the other."""
    importing, imported, but = tuple(importing), tuple(imported), tuple(but)
    return sorted(
        f"{module} imports {target}"
        for module, target in edges()
        if within(module, importing) and not within(module, but) and within(target, imported)
    )


def loaded_by(*modules: str) -> set[str]:
    """The top-level packages that importing these modules loads, the standard library's left out."""
    program = (
        "import json, sys\n"
        "before = set(sys.modules)\n"
        f"import {', '.join(modules)}\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in set(sys.modules) - before})))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=CHECKOUT)  # noqa: S603 - our own program
    assert done.returncode == 0, done.stderr
    return {name for name in json.loads(done.stdout) if name not in sys.stdlib_module_names}


def modules_below(room: str) -> list[str]:
    folder = CHECKOUT.joinpath(*room.split("."))
    return sorted(module_of(path) for path in folder.rglob("*.py") if path.stem != "__main__")


# The imports as they are written.


@pytest.mark.parametrize("room", PURE)
def test_a_pure_room_imports_the_standard_library_and_downward_only(room: str) -> None:
    allowed = tuple(f"headroom.{lower}" for lower in PURE[: PURE.index(room) + 1])
    found = sorted(
        f"{module} imports {target}"
        for module, target in edges()
        if within(module, (f"headroom.{room}",))
        and target.partition(".")[0] not in sys.stdlib_module_names
        and target != "headroom"
        and not within(target, allowed)
    )
    assert found == []


def test_the_package_itself_imports_nothing() -> None:
    assert [target for module, target in edges() if module == "headroom"] == []


@pytest.mark.parametrize("room", BESIDE)
def test_collect_components_and_policies_never_import_each_other(room: str) -> None:
    assert broken((room,), (other for other in BESIDE if other != room)) == []


def test_only_cli_rehearsal_and_stacks_join_the_rooms() -> None:
    joined = {
        module
        for module, target in edges()
        for room in BESIDE
        if within(target, (room,)) and not within(module, (room,))
    }
    assert sorted(module for module in joined if not within(module, JOINING)) == []


def test_what_a_real_run_needs_imports_nothing_of_a_rehearsal() -> None:
    # The command that starts a rehearsal has to import it.
    assert broken(PRODUCT, REHEARSAL_ONLY, but=("headroom.rehearsal", "headroom.cli.rehearse")) == []


def test_components_and_policies_call_no_cloud_by_themselves() -> None:
    # The function's source lies beside its component, which carries it as a file and never imports it; only the
    # rehearsal of the watch stack runs it here.
    assert broken(("components", "policies"), CLOUD_SDKS, but=(FUNCTION,)) == []
    assert broken(PRODUCT, (FUNCTION,), but=(FUNCTION, "headroom.rehearsal.scenarios.eks_watch")) == []


def test_the_function_imports_pure_rooms_and_what_its_runtime_carries() -> None:
    allowed = ("boto3", "botocore", FUNCTION, *(f"headroom.{room}" for room in PURE))
    found = sorted(
        f"{module} imports {target}"
        for module, target in edges()
        if within(module, (FUNCTION,))
        and target.partition(".")[0] not in sys.stdlib_module_names
        and not within(target, allowed)
    )
    assert found == []


def test_policies_import_no_provider_sdk() -> None:
    assert broken(("policies",), PROVIDER_SDKS) == []


def test_resources_are_declared_in_components_only() -> None:
    knowing = {found.partition(" ")[0] for found in broken(("stacks",), PROVIDER_SDKS)}
    assert knowing == {"stacks.adoption"}, "adoption reads through the provider; nothing else of the stacks may"
    declared = [
        f"{path.stem}:{node.lineno}"
        for path in (CHECKOUT / "stacks").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id in ("ec2", "vpc", "eks", "kubernetes")
        and node.func.attr[0].isupper()
        and not node.func.attr.endswith("Args")
    ]
    assert declared == []


def test_nothing_of_the_product_imports_its_tests() -> None:
    assert broken((*PRODUCT, "toolchain"), ("tests", "conftest")) == []


# The imports as they happen.


def test_the_command_line_needs_click_and_nothing_else_to_print_its_help() -> None:
    assert loaded_by("headroom.cli") == {"headroom", "click"}


@pytest.mark.parametrize("room", [room for room in PURE if (CHECKOUT / "headroom" / room).is_dir()])
def test_a_pure_room_pulls_in_no_third_party_package(room: str) -> None:
    assert loaded_by(*modules_below(f"headroom.{room}")) == {"headroom"}


def test_help_imports_no_command() -> None:
    program = (
        "import sys\n"
        "from headroom.cli import headroom\n"
        "try: headroom(['--help'])\n"
        "except SystemExit as stopped: assert not stopped.code, stopped.code\n"
        "print(sorted(name for name in sys.modules if name.startswith('headroom.cli.')), file=sys.stderr)\n"
        "print(sorted({'pulumi', 'rich', 'boto3', 'kubernetes', 'moto'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=CHECKOUT)  # noqa: S603 - our own program
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Usage: ")
    assert done.stderr.splitlines() == ["[]", "[]"]


def test_components_load_no_cloud_sdk() -> None:
    modules = [module for module in modules_below("components") if not within(module, (FUNCTION,))]
    assert loaded_by(*modules).isdisjoint(CLOUD_SDKS)


def test_a_stack_on_aws_loads_no_other_clouds_sdk() -> None:
    assert "pulumi_azure_native" not in loaded_by("stacks", "stacks.emergency")


# The tests themselves.


def test_every_python_file_of_the_tests_is_collected_or_a_conftest() -> None:
    strays = sorted(
        str(path.relative_to(CHECKOUT))
        for path in (CHECKOUT / "tests").rglob("*.py")
        if not (path.name.startswith("test_") or path.name == "conftest.py")
    )
    assert strays == [], "pytest never collects these: a mistake in them shows nowhere"


def test_test_files_have_names_of_their_own() -> None:
    names = [path.name for path in (CHECKOUT / "tests").rglob("test_*.py")]
    assert sorted(name for name in set(names) if names.count(name) > 1) == [], "folders have no __init__.py"
