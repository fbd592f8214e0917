"""Reads a Pulumi project's description, without the Pulumi SDK."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from headroom.addresses.problems import Problem, ProblemsError
from policies import yaml_text
from policies.doors.files import read


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A Pulumi project's folder.

    Attributes:
        folder: Where Pulumi.yaml is.
        name: The project's name.
        program: The program's folder or file.
        stack_files: Folder of the stack files.
        defaults: Defaults of its typed configuration, by key.
    """

    folder: Path
    name: str
    program: Path
    stack_files: Path
    defaults: Mapping[str, Any]

    def stack_file(self, stack: str) -> Path:
        """The stack's file."""
        return self.stack_files / f"Pulumi.{stack}.yaml"


def read_project(folder: Path) -> Project:
    """Reads Pulumi.yaml.

    Raises:
        ProblemsError: There is none, or it is not one of a Python program.
    """
    path = folder / "Pulumi.yaml"
    if not path.is_file():
        raise ProblemsError([_wrong(str(folder), "has no Pulumi.yaml.", "Name a stack file, or a project's folder.")])
    try:
        _, document = yaml_text.load(read(path))
    except yaml.YAMLError as error:
        raise ProblemsError([_wrong(str(path), "cannot be read as YAML: " + " ".join(str(error).split()))]) from None
    runtime = document.get("runtime") if isinstance(document, dict) else None
    language = runtime.get("name") if isinstance(runtime, dict) else runtime
    if not isinstance(document, dict) or language != "python" or not isinstance(document.get("name"), str):
        step = "Use `pulumi preview --json --show-sames` and check what it writes."
        raise ProblemsError([_wrong(str(path), "is not the project of a Python program.", step)])
    name: str = document["name"]
    typed = document.get("config")
    defaults = {
        key if ":" in key else f"{name}:{key}": item["default"]
        for key, item in (typed.items() if isinstance(typed, dict) else ())
        if isinstance(key, str) and isinstance(item, dict) and "default" in item
    }
    return Project(
        folder=folder,
        name=name,
        program=folder / str(document.get("main") or "."),
        stack_files=folder / str(document.get("stackConfigDir") or "."),
        defaults=defaults,
    )


def project_of(stack_file: Path) -> Project | None:
    """The project that a stack file belongs to: the nearest above it whose stack files lie in the file's folder.

    Raises:
        ProblemsError: There is one, and it is not one of a Python program.
    """
    folder = stack_file.absolute().parent
    for above in (folder, *folder.parents):
        if (above / "Pulumi.yaml").is_file():
            project = read_project(above)
            return project if project.stack_files.resolve() == folder.resolve() else None
    return None


def _wrong(value: str, reason: str, next_step: str = "") -> Problem:
    return Problem(rule="project", value=value, reason=reason, next_step=next_step)
