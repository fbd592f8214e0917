"""Keeps one comment on a pull request up to date with the report that `headroom check --markdown` wrote.

    comment.py github|gitlab|azure REPORT

Where to and with which token is read from the variables that each forge sets in its jobs (`FORGES` names them). The
comment of an earlier run is known by the report's first line; where no stack file has changed, an old comment is
brought up to date and no new one is made. Needs the standard library and nothing else.
"""

import base64
import json
import os
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

MARK = re.compile(r"<!-- headroom check: (?P<verdict>\w+) -->")
"""The first line of a report (policies/comment.py)."""
UNCHANGED = "unchanged"
PAGE = 100
"""Comments of one answer, the most that GitHub and GitLab give."""
TIMEOUT_SECONDS = 30


class FailedError(Exception):
    """The comment was not written; the message says why, and never the token."""


@dataclass(frozen=True)
class Comment:
    """A comment of an earlier run: where it is changed, and what it says."""

    address: str
    text: str


@dataclass(frozen=True)
class Client:
    """Speaks JSON with one forge."""

    headers: Mapping[str, str]

    def call(self, method: str, address: str, body: object = None) -> Any:
        """What the forge answers.

        Raises:
            FailedError: It does not, or refuses.
        """
        if not address.startswith(("https://", "http://")):
            raise FailedError(f"{address} is no address of a forge.")
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", "User-Agent": "headroom-check", **self.headers}
        request = urllib.request.Request(address, data, headers, method=method)  # noqa: S310 - looked at above
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310 - the same
                return json.load(answer)
        except urllib.error.HTTPError as error:
            said = error.read(300).decode("utf-8", "replace")
            raise FailedError(f"{method} {address} answered {error.code}: {' '.join(said.split())}") from None
        except (urllib.error.URLError, TimeoutError, json.JSONDecodeError) as error:
            raise FailedError(f"{method} {address} failed: {error}") from None

    def pages(self, address: str) -> Iterator[Any]:
        """All items of a list that comes page by page."""
        page = 1
        while True:
            items = self.call("GET", f"{address}?per_page={PAGE}&page={page}")
            yield from items
            if len(items) < PAGE:
                return
            page += 1


def github(variables: Mapping[str, str], report: str, verdict: str) -> str:
    """Comments of the issue that every pull request is too (GitHub REST API, issues/comments)."""
    client = Client({"Authorization": f"Bearer {variables['GITHUB_TOKEN']}", "Accept": "application/vnd.github+json"})
    repository = f"{variables['GITHUB_API_URL']}/repos/{variables['GITHUB_REPOSITORY']}"
    every = f"{repository}/issues/{variables['PULL_REQUEST']}/comments"
    old = (
        Comment(f"{repository}/issues/comments/{item['id']}", item["body"] or "")
        for item in client.pages(every)
        if (item["user"] or {}).get("type") == "Bot"  # whose user is gone has none
    )
    return kept(
        old,
        report,
        verdict,
        change=lambda address: client.call("PATCH", address, {"body": report}),
        add=lambda: client.call("POST", every, {"body": report}),
    )


def gitlab(variables: Mapping[str, str], report: str, verdict: str) -> str:
    """Notes of a merge request (GitLab REST API, notes); the token's own, as others cannot be changed."""
    client = Client({"PRIVATE-TOKEN": variables["HEADROOM_TOKEN"]})
    api = variables["CI_API_V4_URL"]
    own = client.call("GET", f"{api}/user")["id"]
    every = f"{api}/projects/{variables['CI_PROJECT_ID']}/merge_requests/{variables['CI_MERGE_REQUEST_IID']}/notes"
    old = (
        Comment(f"{every}/{item['id']}", item["body"]) for item in client.pages(every) if item["author"]["id"] == own
    )
    return kept(
        old,
        report,
        verdict,
        change=lambda address: client.call("PUT", address, {"body": report}),
        add=lambda: client.call("POST", every, {"body": report}),
    )


def azure(variables: Mapping[str, str], report: str, verdict: str) -> str:
    """A thread of a pull request (Azure DevOps REST API, git/pull-request-threads), open while there is something."""
    token = base64.b64encode(f":{variables['SYSTEM_ACCESSTOKEN']}".encode()).decode()
    client = Client({"Authorization": f"Basic {token}"})
    project = f"{variables['SYSTEM_COLLECTIONURI']}{quote(variables['SYSTEM_TEAMPROJECT'])}"
    repository = f"{project}/_apis/git/repositories/{variables['BUILD_REPOSITORY_ID']}"
    every = f"{repository}/pullRequests/{variables['SYSTEM_PULLREQUEST_PULLREQUESTID']}/threads"
    version = "?api-version=7.1"
    status = "closed" if verdict in {"clean", UNCHANGED} else "active"
    old = (
        Comment(f"{every}/{thread['id']}/comments/{first['id']}", first.get("content") or "")
        for thread in client.call("GET", every + version)["value"]
        for first in (thread.get("comments") or [])[:1]
        if not thread.get("isDeleted")
    )

    def change(address: str) -> None:
        client.call("PATCH", address + version, {"content": report})
        client.call("PATCH", address.rpartition("/comments/")[0] + version, {"status": status})

    comment = {"parentCommentId": 0, "content": report, "commentType": "text"}
    return kept(
        old,
        report,
        verdict,
        change=change,
        add=lambda: client.call("POST", every + version, {"comments": [comment], "status": status}),
    )


FORGES: dict[str, tuple[Callable[[Mapping[str, str], str, str], str], tuple[str, ...]]] = {
    "github": (github, ("GITHUB_TOKEN", "GITHUB_API_URL", "GITHUB_REPOSITORY", "PULL_REQUEST")),
    "gitlab": (gitlab, ("HEADROOM_TOKEN", "CI_API_V4_URL", "CI_PROJECT_ID", "CI_MERGE_REQUEST_IID")),
    "azure": (
        azure,
        (
            "SYSTEM_ACCESSTOKEN",
            "SYSTEM_COLLECTIONURI",
            "SYSTEM_TEAMPROJECT",
            "BUILD_REPOSITORY_ID",
            "SYSTEM_PULLREQUEST_PULLREQUESTID",
        ),
    ),
}


def kept(
    old: Iterator[Comment],
    report: str,
    verdict: str,
    *,
    change: Callable[[str], object],
    add: Callable[[], object],
) -> str:
    """Brings the earlier comment up to date, or adds one; says in a word what was done."""
    earlier = next((comment for comment in old if MARK.match(comment.text)), None)
    if earlier is not None and earlier.text.strip() == report.strip():
        return "The comment says that already."
    if earlier is not None:
        change(earlier.address)
        return "The comment was brought up to date."
    if verdict == UNCHANGED:
        return "No stack file has changed, and no comment was there."
    add()
    return "The comment was added."


def main(arguments: list[str], variables: Mapping[str, str]) -> int:
    """The exit code: 0 done, 1 the forge refused, 2 called in the wrong way."""
    if len(arguments) != 2 or arguments[0] not in FORGES:  # noqa: PLR2004 - a forge and a report
        sys.stderr.write(f"Usage: comment.py {'|'.join(FORGES)} REPORT\n")
        return 2
    forge, needed = FORGES[arguments[0]]
    missing = [name for name in needed if not variables.get(name)]
    if missing:
        sys.stderr.write(f"Not set: {', '.join(missing)}. Is this a job of a pull request?\n")
        return 2
    path = Path(arguments[1])
    if not path.is_file():
        sys.stdout.write(f"There is no {path}: the check has ended before it could write one.\n")
        return 0
    report = path.read_text(encoding="utf-8")
    mark = MARK.match(report)
    if mark is None:
        sys.stderr.write(f"{path} is not what `headroom check --markdown` writes.\n")
        return 2
    try:
        sys.stdout.write(forge(variables, report, mark["verdict"]) + "\n")
    except (FailedError, KeyError, TypeError, AttributeError) as error:
        unexpected = "" if isinstance(error, FailedError) else "The forge answered something unexpected: "
        sys.stderr.write(f"{unexpected}{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
