"""The commands that README and the pages show exist, with every option that is written there."""

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from headroom.cli import COMMANDS, headroom

CHECKOUT = Path(__file__).parents[2]
PAGES = (CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").glob("*.md")))


def shown() -> list[tuple[str, str]]:
    """Page and command line of every `headroom` in a console block, a line that goes on joined."""
    found = []
    for page in PAGES:
        for block in re.findall(r"```console\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL):
            text = re.sub(r"\\\n\s*", " ", block)
            found += [
                (page.name, line) for line in re.findall(r"^\$ (?:.*&& )?(headroom .*)$", text, flags=re.MULTILINE)
            ]
    return found


@pytest.mark.parametrize(("page", "line"), shown())
def test_a_command_on_a_page_exists_with_its_options(page: str, line: str) -> None:
    words = shlex.split(line.partition("#")[0])
    name = words[1]
    assert name in COMMANDS, f"{page}: {line}"
    below = words[1:3] if name == "calc" else words[1:2]
    text = CliRunner().invoke(headroom, [*below, "--help"]).output
    for option in (word.partition("=")[0] for word in words if word.startswith("--")):
        assert re.search(rf"(?<![\w-]){re.escape(option)}\b", text), f"{page}: {line}: no {option}"


def test_the_pages_show_commands() -> None:
    assert len(shown()) >= 40
