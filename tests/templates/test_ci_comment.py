"""One comment on a pull request, whichever forge: found again, brought up to date, never doubled."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from policies.comment import MARK, UNCHANGED
from tests.templates.conftest import TEMPLATES, Forge, bare_environment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

REPORT = MARK.format(verdict="violation") + "\n**Headroom: 1 violation**\n"
OLD = MARK.format(verdict="clean") + "\n**Headroom: 0 violations**"
GITHUB = "/repos/org/infra/issues/7/comments"
GITLAB = "/projects/5/merge_requests/7/notes"
AZURE = "/org/infra/_apis/git/repositories/r-1/pullRequests/7/threads"
VERSION = "?api-version=7.1"


def variables(name: str, address: str) -> dict[str, str]:
    return {
        "github": {
            "GITHUB_TOKEN": "t0ken",
            "GITHUB_API_URL": address,
            "GITHUB_REPOSITORY": "org/infra",
            "PULL_REQUEST": "7",
        },
        "gitlab": {
            "HEADROOM_TOKEN": "t0ken",
            "CI_API_V4_URL": address,
            "CI_PROJECT_ID": "5",
            "CI_MERGE_REQUEST_IID": "7",
        },
        "azure": {
            "SYSTEM_ACCESSTOKEN": "t0ken",
            "SYSTEM_COLLECTIONURI": f"{address}/org/",
            "SYSTEM_TEAMPROJECT": "infra",
            "BUILD_REPOSITORY_ID": "r-1",
            "SYSTEM_PULLREQUEST_PULLREQUESTID": "7",
        },
    }[name]


def comment(
    folder: Path, forge: Forge, name: str, report: str | None = REPORT, **more: str
) -> subprocess.CompletedProcess[str]:
    file = folder / "comment.md"
    if report is not None:
        file.write_text(report, encoding="utf-8")
    environment = bare_environment() | variables(name, forge.address) | more
    command = [sys.executable, str(TEMPLATES / "comment.py"), name, str(file)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603 - ours


def github_comment(id_: int, text: str, kind: str = "Bot") -> dict[str, Any]:
    return {"id": id_, "body": text, "user": {"type": kind}}


def gitlab_note(id_: int, text: str, author: int = 42) -> dict[str, Any]:
    return {"id": id_, "body": text, "author": {"id": author}, "system": False}


def azure_thread(id_: int, text: str, **more: Any) -> dict[str, Any]:
    return {"id": id_, "comments": [{"id": 3, "content": text}], "isDeleted": False, **more}


def lists(forge: Forge, name: str, *comments: dict[str, Any]) -> None:
    """The forge has these comments, and takes every change."""
    if name == "azure":
        forge.answer(f"GET {AZURE}{VERSION}", {"count": len(comments), "value": list(comments)})
        forge.answer(f"POST {AZURE}{VERSION}", {"id": 99})
        return
    path = {"github": GITHUB, "gitlab": GITLAB}[name]
    pages = [comments[start : start + 100] for start in range(0, len(comments) + 1, 100)]
    for number, page in enumerate(pages, 1):
        forge.answer(f"GET {path}?per_page=100&page={number}", list(page))
    forge.answer(f"POST {path}", {"id": 99})
    forge.answer("GET /user", {"id": 42})


ALL = pytest.mark.parametrize("name", ["github", "gitlab", "azure"])
MAKE: dict[str, Callable[..., dict[str, Any]]] = {
    "github": github_comment,
    "gitlab": gitlab_note,
    "azure": azure_thread,
}


@ALL
def test_the_first_report_becomes_a_comment(tmp_path: Path, forge: Forge, name: str) -> None:
    lists(forge, name, MAKE[name](1, "what a person wrote"))
    done = comment(tmp_path, forge, name)
    assert (done.returncode, done.stdout) == (0, "The comment was added.\n"), done.stderr
    ((method, path, body),) = forge.written()
    assert method == "POST"
    if name == "azure":
        assert path == AZURE + VERSION
        assert body == {
            "comments": [{"parentCommentId": 0, "content": REPORT, "commentType": "text"}],
            "status": "active",
        }
    else:
        assert body == {"body": REPORT}


@ALL
def test_a_later_report_takes_the_place_of_the_earlier(tmp_path: Path, forge: Forge, name: str) -> None:
    lists(forge, name, MAKE[name](1, "what a person wrote"), MAKE[name](2, OLD))
    changes = {
        "github": [("PATCH", "/repos/org/infra/issues/comments/2", {"body": REPORT})],
        "gitlab": [("PUT", f"{GITLAB}/2", {"body": REPORT})],
        "azure": [
            ("PATCH", f"{AZURE}/2/comments/3{VERSION}", {"content": REPORT}),
            ("PATCH", f"{AZURE}/2{VERSION}", {"status": "active"}),
        ],
    }[name]
    for method, path, _ in changes:
        forge.answer(f"{method} {path}", {"id": 2})
    done = comment(tmp_path, forge, name)
    assert (done.returncode, done.stdout) == (0, "The comment was brought up to date.\n"), done.stderr
    assert forge.written() == changes


@ALL
def test_a_report_that_says_the_same_changes_nothing(tmp_path: Path, forge: Forge, name: str) -> None:
    lists(forge, name, MAKE[name](2, REPORT.rstrip()))
    assert comment(tmp_path, forge, name).stdout == "The comment says that already.\n"
    assert forge.written() == []


@ALL
def test_where_no_stack_file_changed_no_comment_is_added(tmp_path: Path, forge: Forge, name: str) -> None:
    lists(forge, name)
    report = MARK.format(verdict=UNCHANGED) + "\nnothing\n"
    assert comment(tmp_path, forge, name, report).stdout == "No stack file has changed, and no comment was there.\n"
    assert forge.written() == []


def test_where_no_stack_file_changes_any_more_the_comment_says_so(tmp_path: Path, forge: Forge) -> None:
    lists(forge, "azure", azure_thread(2, REPORT))
    for path in (f"{AZURE}/2/comments/3{VERSION}", f"{AZURE}/2{VERSION}"):
        forge.answer(f"PATCH {path}", {})
    report = MARK.format(verdict=UNCHANGED) + "\nnothing\n"
    comment(tmp_path, forge, "azure", report)
    assert [body for *_, body in forge.written()] == [{"content": report}, {"status": "closed"}]


@pytest.mark.parametrize("name", ["github", "gitlab"])
def test_the_earlier_comment_is_found_on_a_later_page(tmp_path: Path, forge: Forge, name: str) -> None:
    lists(forge, name, *(MAKE[name](number, "x") for number in range(200)), MAKE[name](777, REPORT))
    assert comment(tmp_path, forge, name).stdout == "The comment says that already.\n"
    assert len([item for item in forge.requests if "page=" in item.path]) == 3


def test_a_person_who_quotes_the_mark_is_left_alone(tmp_path: Path, forge: Forge) -> None:
    gone = {"id": 3, "body": OLD, "user": None}
    lists(forge, "github", github_comment(1, OLD, "User"), github_comment(2, f"> {OLD}"), gone)
    assert comment(tmp_path, forge, "github").stdout == "The comment was added.\n"


def test_a_note_of_another_user_cannot_be_changed_and_is_left_alone(tmp_path: Path, forge: Forge) -> None:
    lists(forge, "gitlab", gitlab_note(1, OLD, author=1))
    assert comment(tmp_path, forge, "gitlab").stdout == "The comment was added.\n"


def test_a_thread_that_was_deleted_or_is_the_systems_is_passed_over(tmp_path: Path, forge: Forge) -> None:
    lists(
        forge,
        "azure",
        azure_thread(1, OLD, isDeleted=True),
        azure_thread(2, OLD, comments=[]),
        azure_thread(3, OLD, comments=[{"id": 1}]),
    )
    assert comment(tmp_path, forge, "azure").stdout == "The comment was added.\n"


@ALL
def test_each_forge_gets_its_token_in_its_own_way(tmp_path: Path, forge: Forge, name: str) -> None:
    lists(forge, name)
    comment(tmp_path, forge, name)
    basic = base64.b64encode(b":t0ken").decode()
    header, value = {
        "github": ("authorization", "Bearer t0ken"),
        "gitlab": ("private-token", "t0ken"),
        "azure": ("authorization", f"Basic {basic}"),
    }[name]
    assert {item.headers.get(header) for item in forge.requests} == {value}


# What goes wrong.


@ALL
def test_a_refusal_is_told_without_the_token(tmp_path: Path, forge: Forge, name: str) -> None:
    done = comment(tmp_path, forge, name)
    assert done.returncode == 1
    assert 'answered 404: {"message": "Not Found"}' in done.stderr
    assert "Traceback" not in done.stderr
    assert "t0ken" not in done.stderr


@pytest.mark.parametrize("answer", ["<html>", json.dumps([5]), json.dumps({"a": 1}), json.dumps([{"user": 5}])])
def test_an_answer_that_is_none_is_told(tmp_path: Path, forge: Forge, answer: str) -> None:
    forge.answer(f"GET {GITHUB}?per_page=100&page=1", answer)
    done = comment(tmp_path, forge, "github")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_a_forge_that_cannot_be_reached_is_told(tmp_path: Path, forge: Forge) -> None:
    done = comment(tmp_path, forge, "github", GITHUB_API_URL="http://127.0.0.1:9")
    assert done.returncode == 1
    assert "failed:" in done.stderr
    no_address = comment(tmp_path, forge, "github", GITHUB_API_URL="file:///etc")
    assert "is no address of a forge" in no_address.stderr


@ALL
def test_a_job_that_is_none_of_a_pull_request_is_told_what_is_missing(tmp_path: Path, forge: Forge, name: str) -> None:
    missing = next(reversed(variables(name, "")))
    done = comment(tmp_path, forge, name, **{missing: ""})
    assert done.returncode == 2
    assert done.stderr == f"Not set: {missing}. Is this a job of a pull request?\n"


def test_a_check_that_wrote_nothing_leaves_the_comment_alone(tmp_path: Path, forge: Forge) -> None:
    done = comment(tmp_path, forge, "github", None)
    assert done.returncode == 0
    assert "the check has ended before it could write one" in done.stdout
    assert forge.requests == []


def test_what_is_no_report_is_not_told_to_anybody(tmp_path: Path, forge: Forge) -> None:
    done = comment(tmp_path, forge, "github", "hello\n")
    assert done.returncode == 2
    assert "is not what `headroom check --markdown` writes" in done.stderr
    assert forge.requests == []


def test_it_says_how_it_is_called() -> None:
    for arguments in ([], ["bitbucket", "x"], ["github"]):
        command = [sys.executable, str(TEMPLATES / "comment.py"), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - ours
        assert (done.returncode, done.stderr) == (2, "Usage: comment.py github|gitlab|azure REPORT\n")
