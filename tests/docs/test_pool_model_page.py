"""The page on the CNI's pool: every command on it prints what stands there."""

import re
import shlex
from pathlib import Path

import pytest

from tests.cli.conftest import calc

PAGE = Path(__file__).parents[2] / "docs" / "pool-model.md"
PROMPT = "$ headroom calc "


def sessions() -> list[tuple[str, str]]:
    """Each command of the page with what stands below it."""
    blocks = re.findall(r"```console\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    found = []
    for block in blocks:
        commands = [part for part in re.split(rf"^{re.escape(PROMPT)}", block, flags=re.MULTILINE) if part]
        found += [(command, output.strip("\n")) for command, _, output in (part.partition("\n") for part in commands)]
    return found


SESSIONS = sessions()


def test_every_console_block_is_of_commands_that_are_run() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text.count("```console\n$ headroom calc ") == text.count("```console")
    assert len(SESSIONS) >= 20


@pytest.mark.parametrize(("command", "output"), SESSIONS, ids=[command for command, _ in SESSIONS])
def test_a_command_prints_what_the_page_shows(command: str, output: str) -> None:
    run = calc(*shlex.split(command))
    ending = f"\n[exit code {run.code}]" if run.code else ""
    assert (run.out + run.err).rstrip("\n") + ending == output


# What the page says in prose, as the commands above print it.
@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("take 2,700", "addresses: 2,700,"),
        ("4,500 only after", "worst case: 4,500,"),
        ("holds 1,410", "best setting: MINIMUM_IP_TARGET=10 WARM_IP_TARGET=5: 1,410 addresses"),
        ("1,019", "free addresses: 1,019"),
        ("232 can have an address", "8 x 29 + 2 pods on the host network = 234"),
        ("need a /21", "subnet: /21, 2,043 usable"),
    ],
)
def test_a_figure_in_the_text_is_one_that_a_command_prints(words: str, shown: str) -> None:
    text = " ".join(PAGE.read_text(encoding="utf-8").split())
    assert words in text
    assert any(shown in output for _, output in SESSIONS)
