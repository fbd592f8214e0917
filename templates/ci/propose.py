"""Opens one pull request a cluster and cause with what `headroom respond` wrote, or brings it up to date.

    propose.py github|gitlab|azure FOLDER

FOLDER holds `proposal.json` and `body.md`. Where to and with which token is read from the variables of the forge's job
(`FORGES` names them). The branch's name is made of cluster and cause, so an open pull request is found again and never
doubled; its text, its files and its labels are brought up to date, unless somebody else has changed the branch: then
the files stay as they are. HEADROOM_MINUTES (60) is the least time between two changes of one pull request, and before
one that was closed is opened anew; HEADROOM_A_DAY (5) is how many are opened within a day. Nothing is applied.

Needs urllib3, which retries what a forge asks to be retried.
"""

import base64
import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, urlencode

import urllib3

MARK = re.compile(r"<!-- headroom alarm: (?P<digest>[0-9a-f]{16}) (?P<rank>\d) (?P<time>\S+) -->")
"""The first line of a text of ours: what it says, how urgent it was, and when it was written. The first, because Azure
DevOps lists but 400 characters of a description (azure-devops-python-api #197)."""
PREFIX = "headroom/"
"""Of every branch of ours."""
TRAILER = "Headroom-Alarm: "
"""In the message of every commit of ours (git-interpret-trailers)."""
BRANCH = re.compile(r"headroom/[A-Za-z0-9_-]{1,100}/[a-z0-9_-]{1,80}")
ALLOWED = re.compile(r"stacks/Pulumi\.[A-Za-z0-9_.-]+\.yaml|stacks/[A-Za-z0-9_.-]+\.json")
"""What a plan writes (headroom/planning/planner.py), and nothing else."""

TEXT_CHARACTERS = {"github": 65_000, "gitlab": 500_000, "azure": 3_900}
"""Of a pull request's text: GitHub takes 65,536 characters, GitLab 1,048,576, Azure DevOps 4,000
(dependabot-core #2747)."""
PAGE = 100
TIMEOUT_SECONDS = 30
RETRIES = 4
LONGEST_WAIT_SECONDS = 120
"""Longer, and the job fails and says when to try again: an hour's limit is not waited for by a runner."""
NOTHING = "0" * 40
"""Git's name for no commit."""

OK, NOT_FOUND = range(200, 203), 404
DOUBLED = (400, 409, 422)
"""How forges refuse what is there already: GitLab a branch with 400, Azure DevOps and GitLab a pull request with 409,
GitHub both with 422."""


class FailedError(Exception):
    """The forge refused or did not answer; the message says why, and never a token."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class Patient(urllib3.Retry):
    """Retries as forges ask for it.

    GitHub answers a secondary limit with 403 and Retry-After (GitHub REST API, rate limits); without that header a 403
    is a permission that is lacking, and trying again is of no use. GitLab and Azure DevOps answer with 429 or 503.
    """

    RETRY_AFTER_STATUS_CODES = frozenset({403, 413, 429, 503})


def patient(backoff: float = 0.5) -> urllib3.Retry:
    """The retries of a run: of connections, time-outs, 429, 5xx; of writing too, for forges refuse what is doubled."""
    return Patient(
        total=RETRIES,
        redirect=0,
        allowed_methods=None,
        status_forcelist=(429, 500, 502, 503, 504),
        backoff_factor=backoff,
        retry_after_max=LONGEST_WAIT_SECONDS,
        raise_on_status=False,
        raise_on_redirect=False,
    )


@dataclass(frozen=True)
class Client:
    """Speaks JSON with one forge.

    Attributes:
        headers: Sent with each request; the token among them.
        token: Never shown, whatever the forge answers.
        pool: urllib3's, or another that has its `request`.
        retries: How often and when again.
        timeout: Seconds for one answer.
    """

    headers: Mapping[str, str] = field(repr=False)
    token: str = field(repr=False)
    pool: Any = field(default_factory=urllib3.PoolManager)
    retries: urllib3.Retry = field(default_factory=patient)
    timeout: float = TIMEOUT_SECONDS

    def call(self, method: str, address: str, body: object = None, *, absent: bool = False) -> Any:
        """What the forge answers; None for a 404 where something may be absent.

        Raises:
            FailedError: It does not answer, refuses, or answers something else than JSON.
        """
        if not address.startswith(("https://", "http://")):
            raise FailedError(f"{address} is no address of a forge.")
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", "User-Agent": "headroom-propose", **self.headers}
        try:
            answer = self.pool.request(
                method, address, body=data, headers=headers, retries=self.retries, timeout=self.timeout
            )
        except urllib3.exceptions.HTTPError as error:
            raise FailedError(self._safe(f"{method} {address} failed: {error}")) from None
        if absent and answer.status == NOT_FOUND:
            return None
        text = answer.data.decode("utf-8", "replace")
        if answer.status not in OK:
            said = " ".join(text.split())[:300]
            message = f"{method} {address} answered {answer.status}: {said}{_hint(answer)}"
            raise FailedError(self._safe(message), answer.status)
        try:
            return json.loads(text) if text else {}
        except ValueError:
            # Azure DevOps answers a token that has expired with its sign-in page.
            raise FailedError(f"{method} {address} answered no JSON: is the token valid?", answer.status) from None

    def _safe(self, text: str) -> str:
        return text.replace(self.token, "***") if self.token else text


def _hint(answer: Any) -> str:
    """What to do about an error."""
    if answer.status in (403, 429) and answer.headers.get("x-ratelimit-remaining") == "0":
        reset = answer.headers.get("x-ratelimit-reset", "")
        when = datetime.fromtimestamp(int(reset), UTC).strftime("%H:%M UTC") if reset.isdecimal() else "later"
        return f" (rate limit: try again at {when})"
    return {
        401: " (the token is not valid, or has expired)",
        403: " (the token lacks a permission: it has to write branches and pull requests)",
        404: " (not there, or the token may not see it)",
        429: " (rate limit: try again later)",
    }.get(answer.status, "")


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """What `headroom respond` wrote.

    Attributes:
        branch: Made of cluster and cause.
        title: Of the pull request.
        labels: Of the pull request.
        rank: How urgent: a higher one than the last is told at once.
        message: Of the commit.
        files: Texts by their path in the repository.
        text: The report.
    """

    branch: str
    title: str
    labels: Sequence[str]
    rank: int
    message: str
    files: Mapping[str, str]
    text: str

    @property
    def digest(self) -> str:
        """All that it says, in sixteen digits."""
        said = json.dumps([self.title, sorted(self.labels), sorted(self.files.items()), self.text])
        return hashlib.sha256(said.encode()).hexdigest()[:16]

    def marked(self, now: datetime, most: int) -> str:
        """The text below its mark, cut at a line's end where it is longer than the forge takes."""
        mark = f"<!-- headroom alarm: {self.digest} {self.rank} {now.strftime('%Y-%m-%dT%H:%M:%SZ')} -->\n"
        if len(self.text) + len(mark) <= most:
            return mark + self.text
        note = "\n\n… the report is longer than this forge's texts may be: the run's artifact has all of it.\n"
        cut = self.text[: most - len(note) - len(mark)]
        return mark + cut[: max(cut.rfind("\n"), 1)] + note


@dataclass(frozen=True, kw_only=True)
class PullRequest:
    """A pull request of an earlier run."""

    number: int
    address: str
    branch: str
    text: str
    open: bool
    merged: bool
    created: datetime
    closed: datetime | None


@dataclass(frozen=True)
class Tip:
    """The last commit of a branch."""

    commit: str
    message: str

    @property
    def ours(self) -> bool:
        """Whether an earlier run has made it."""
        return f"\n{TRAILER}" in self.message


class Forge(Protocol):
    """What a forge has to be able to do."""

    @property
    def name(self) -> str:
        """Its name in `FORGES`."""

    def of_branch(self, branch: str) -> list[PullRequest]:
        """The pull requests of a branch, open and closed, the newest first."""

    def since(self, when: datetime) -> list[PullRequest]:
        """The pull requests that were opened since then, whoever opened them."""

    def tip(self, branch: str) -> Tip | None:
        """Its last commit; None where there is no such branch."""

    def write(self, proposal: Proposal, tip: Tip | None, *, anew: bool) -> bool:
        """Commits the files on top of the branch, or `anew` on top of the default branch; False: nothing differs."""

    def open(self, proposal: Proposal, text: str) -> str:
        """Opens a pull request; gives its address."""

    def change(self, request: PullRequest, proposal: Proposal, text: str) -> None:
        """Brings its text, title and labels up to date."""


@dataclass(frozen=True)
class GitHub:
    """GitHub REST API 2022-11-28: git database, pulls, labels of issues (a pull request is one)."""

    client: Client
    repository: str
    owner: str
    base: str
    name: str = "github"

    @classmethod
    def read(cls, variables: Mapping[str, str], **client: Any) -> "GitHub":
        """From the variables of a job."""
        token = variables["GITHUB_TOKEN"]
        headers = {
            "Authorization": f"Bearer {token}",
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": "2022-11-28",
        }
        name = variables["GITHUB_REPOSITORY"]
        repository = f"{variables['GITHUB_API_URL']}/repos/{name}"
        return cls(Client(headers, token, **client), repository, name.partition("/")[0], variables["BASE_BRANCH"])

    def of_branch(self, branch: str) -> list[PullRequest]:
        """Of `GET /pulls?head=OWNER:BRANCH`."""
        return self._listed(head=f"{self.owner}:{branch}")

    def since(self, when: datetime) -> list[PullRequest]:
        """Of all, the newest first."""
        return _since(lambda number: self._listed(page=number), when)

    def _listed(self, **query: object) -> list[PullRequest]:
        options = urlencode({"state": "all", "sort": "created", "direction": "desc", "per_page": PAGE, **query})
        return [
            PullRequest(
                number=item["number"],
                address=item["html_url"],
                branch=item["head"]["ref"],
                text=item["body"] or "",
                open=item["state"] == "open",
                merged=bool(item["merged_at"]),
                created=_time(item["created_at"]),
                closed=_time(item["closed_at"]) if item["closed_at"] else None,
            )
            for item in self.client.call("GET", f"{self.repository}/pulls?{options}")
        ]

    def tip(self, branch: str) -> Tip | None:
        """Of the reference and its commit."""
        found = self.client.call("GET", f"{self.repository}/git/ref/heads/{branch}", absent=True)
        if found is None:
            return None
        commit = found["object"]["sha"]
        return Tip(commit, self.client.call("GET", f"{self.repository}/git/commits/{commit}")["message"])

    def write(self, proposal: Proposal, tip: Tip | None, *, anew: bool) -> bool:
        """A tree over the parent's, a commit, and the reference moved to it."""
        git = f"{self.repository}/git"
        parent = tip.commit if tip and not anew else ""
        if not parent:
            parent = self.client.call("GET", f"{git}/ref/heads/{quote(self.base)}")["object"]["sha"]
        base_tree = self.client.call("GET", f"{git}/commits/{parent}")["tree"]["sha"]
        entries = [
            {"path": path, "mode": "100644", "type": "blob", "content": text} for path, text in proposal.files.items()
        ]
        tree = self.client.call("POST", f"{git}/trees", {"base_tree": base_tree, "tree": entries})["sha"]
        if tree == base_tree:
            return False
        commit = {"message": proposal.message, "tree": tree, "parents": [parent]}
        made = self.client.call("POST", f"{git}/commits", commit)["sha"]
        if tip is None:
            self.client.call("POST", f"{git}/refs", {"ref": f"refs/heads/{proposal.branch}", "sha": made})
        else:
            moved = {"sha": made, "force": anew}
            self.client.call("PATCH", f"{git}/refs/heads/{proposal.branch}", moved)
        return True

    def open(self, proposal: Proposal, text: str) -> str:
        """`POST /pulls`, then its labels."""
        body = {"title": proposal.title, "head": proposal.branch, "base": self.base, "body": text}
        made = self.client.call("POST", f"{self.repository}/pulls", body)
        try:
            self._label(made["number"], proposal)
        except FailedError as error:
            # It is open, and that matters more; the next one that differs tries again.
            return f"{made['html_url']} without its labels: {error}"
        return str(made["html_url"])

    def change(self, request: PullRequest, proposal: Proposal, text: str) -> None:
        """`PATCH /pulls/N`, and its labels."""
        body = {"title": proposal.title, "body": text}
        self.client.call("PATCH", f"{self.repository}/pulls/{request.number}", body)
        self._label(request.number, proposal)

    def _label(self, number: int, proposal: Proposal) -> None:
        """`POST /issues/N/labels`; a label that the repository does not have is made (github/docs #35718)."""
        address = f"{self.repository}/issues/{number}/labels"
        self.client.call("POST", address, {"labels": list(proposal.labels)})


@dataclass(frozen=True)
class GitLab:
    """GitLab REST API: branches, repository files, commits, merge requests."""

    client: Client
    project: str
    base: str
    name: str = "gitlab"

    @classmethod
    def read(cls, variables: Mapping[str, str], **client: Any) -> "GitLab":
        """From the variables of a job."""
        token = variables["HEADROOM_TOKEN"]
        project = f"{variables['CI_API_V4_URL']}/projects/{variables['CI_PROJECT_ID']}"
        return cls(Client({"PRIVATE-TOKEN": token}, token, **client), project, variables["CI_DEFAULT_BRANCH"])

    def of_branch(self, branch: str) -> list[PullRequest]:
        """Of `GET /merge_requests?source_branch=BRANCH`."""
        return self._listed(source_branch=branch)

    def since(self, when: datetime) -> list[PullRequest]:
        """Of `GET /merge_requests?created_after=TIME`."""
        after = when.strftime("%Y-%m-%dT%H:%M:%SZ")
        return _since(lambda number: self._listed(created_after=after, page=number), when)

    def _listed(self, **query: object) -> list[PullRequest]:
        options = urlencode({"state": "all", "order_by": "created_at", "sort": "desc", "per_page": PAGE, **query})
        return [
            PullRequest(
                number=item["iid"],
                address=item["web_url"],
                branch=item["source_branch"],
                text=item["description"] or "",
                open=item["state"] == "opened",
                merged=item["state"] == "merged",
                created=_time(item["created_at"]),
                closed=_time(ended) if (ended := item.get("merged_at") or item.get("closed_at")) else None,
            )
            for item in self.client.call("GET", f"{self.project}/merge_requests?{options}")
        ]

    def tip(self, branch: str) -> Tip | None:
        """Of `GET /repository/branches/BRANCH`."""
        address = f"{self.project}/repository/branches/{quote(branch, safe='')}"
        found = self.client.call("GET", address, absent=True)
        return None if found is None else Tip(found["commit"]["id"], found["commit"]["message"])

    def write(self, proposal: Proposal, tip: Tip | None, *, anew: bool) -> bool:
        """One commit with an action for each file that differs."""
        ref = proposal.branch if tip and not anew else self.base
        actions = []
        for path, text in proposal.files.items():
            address = f"{self.project}/repository/files/{quote(path, safe='')}?{urlencode({'ref': ref})}"
            present = self.client.call("GET", address, absent=True)
            if present is None:
                actions.append({"action": "create", "file_path": path, "content": text})
            elif base64.b64decode(present["content"]).decode("utf-8", "replace") != text:
                actions.append({"action": "update", "file_path": path, "content": text})
        if not actions:
            return False
        commit: dict[str, Any] = {"branch": proposal.branch, "commit_message": proposal.message, "actions": actions}
        if ref == self.base:
            commit |= {"start_branch": self.base, "force": tip is not None}
        self.client.call("POST", f"{self.project}/repository/commits", commit)
        return True

    def open(self, proposal: Proposal, text: str) -> str:
        """`POST /merge_requests`; a label that the project does not have is made."""
        body = {
            "source_branch": proposal.branch,
            "target_branch": self.base,
            "title": proposal.title,
            "description": text,
            "labels": ",".join(proposal.labels),
            "remove_source_branch": True,
        }
        return str(self.client.call("POST", f"{self.project}/merge_requests", body)["web_url"])

    def change(self, request: PullRequest, proposal: Proposal, text: str) -> None:
        """`PUT /merge_requests/IID`."""
        body = {"title": proposal.title, "description": text, "add_labels": ",".join(proposal.labels)}
        self.client.call("PUT", f"{self.project}/merge_requests/{request.number}", body)


@dataclass(frozen=True)
class Azure:
    """Azure DevOps REST API 7.1: git refs, items, pushes, pull requests, their labels and threads."""

    client: Client
    repository: str
    base: str
    name: str = "azure"

    @classmethod
    def read(cls, variables: Mapping[str, str], **client: Any) -> "Azure":
        """From the variables of a job."""
        token = variables["SYSTEM_ACCESSTOKEN"]
        # Else a token that is not valid is answered with the sign-in page and 203, which looks like success.
        headers = {"Authorization": f"Bearer {token}", "X-TFS-FedAuthRedirect": "Suppress"}
        project = f"{variables['SYSTEM_COLLECTIONURI']}{quote(variables['SYSTEM_TEAMPROJECT'])}"
        repository = f"{project}/_apis/git/repositories/{variables['BUILD_REPOSITORY_ID']}"
        base = variables["BUILD_SOURCEBRANCH"].removeprefix("refs/heads/")
        return cls(Client(headers, token, **client), repository, base)

    def _at(self, path: str, /, **query: object) -> str:
        return f"{self.repository}/{path}?{urlencode({**query, 'api-version': '7.1'})}"

    def of_branch(self, branch: str) -> list[PullRequest]:
        """Of `GET /pullrequests?searchCriteria.sourceRefName=REF`."""
        return self._listed(**{"searchCriteria.sourceRefName": f"refs/heads/{branch}"})

    def since(self, when: datetime) -> list[PullRequest]:
        """Of all, the newest first."""
        return _since(lambda number: self._listed(**{"$skip": PAGE * (number - 1)}), when)

    def _listed(self, **query: object) -> list[PullRequest]:
        address = self._at("pullrequests", **{"searchCriteria.status": "all", "$top": PAGE, **query})
        return [
            PullRequest(
                number=item["pullRequestId"],
                address=_page_of(item),
                branch=item["sourceRefName"].removeprefix("refs/heads/"),
                text=item.get("description") or "",
                open=item["status"] == "active",
                merged=item["status"] == "completed",
                created=_time(item["creationDate"]),
                closed=_time(item["closedDate"]) if item.get("closedDate") else None,
            )
            for item in self.client.call("GET", address)["value"]
        ]

    def tip(self, branch: str) -> Tip | None:
        """Of `GET /refs?filter=heads/BRANCH`, which lists what begins like it too."""
        listed = self.client.call("GET", self._at("refs", filter=f"heads/{branch}"))["value"]
        found = next((item for item in listed if item["name"] == f"refs/heads/{branch}"), None)
        if found is None:
            return None
        commit = found["objectId"]
        return Tip(commit, self.client.call("GET", self._at(f"commits/{commit}"))["comment"])

    def write(self, proposal: Proposal, tip: Tip | None, *, anew: bool) -> bool:
        """One push; a branch that is begun anew is deleted first."""
        ref = proposal.branch if tip and not anew else self.base
        changes = []
        for path, text in proposal.files.items():
            version = {"versionDescriptor.version": ref, "versionDescriptor.versionType": "branch"}
            address = self._at("items", path=f"/{path}", includeContent="true", **version)
            present = self.client.call("GET", address, absent=True)
            if present is None or present.get("content") != text:
                content = {"content": text, "contentType": "rawtext"}
                kind = "add" if present is None else "edit"
                changes.append({"changeType": kind, "item": {"path": f"/{path}"}, "newContent": content})
        if not changes:
            return False
        name = f"refs/heads/{proposal.branch}"
        if tip and anew:
            gone = [{"name": name, "oldObjectId": tip.commit, "newObjectId": NOTHING}]
            self.client.call("POST", self._at("refs"), gone)
        base = tip if tip and not anew else self.tip(self.base)
        if base is None:
            raise FailedError(f"There is no branch {self.base}.")
        update = {"name": name, "oldObjectId": base.commit}
        push = {"refUpdates": [update], "commits": [{"comment": proposal.message, "changes": changes}]}
        self.client.call("POST", self._at("pushes"), push)
        return True

    def open(self, proposal: Proposal, text: str) -> str:
        """`POST /pullrequests` with its labels; the whole report is its first comment."""
        body = {
            "sourceRefName": f"refs/heads/{proposal.branch}",
            "targetRefName": f"refs/heads/{self.base}",
            "title": proposal.title,
            "description": text,
            "labels": [{"name": name} for name in proposal.labels],
        }
        made = self.client.call("POST", self._at("pullrequests"), body)
        self._tell(made["pullRequestId"], proposal)
        return _page_of(made)

    def change(self, request: PullRequest, proposal: Proposal, text: str) -> None:
        """`PATCH /pullrequests/N`, its labels and the report."""
        body = {"title": proposal.title, "description": text}
        self.client.call("PATCH", self._at(f"pullrequests/{request.number}"), body)
        for label in proposal.labels:
            self.client.call("POST", self._at(f"pullRequests/{request.number}/labels"), {"name": label})
        self._tell(request.number, proposal)

    def _tell(self, number: int, proposal: Proposal) -> None:
        """Keeps the whole report as one comment: a description holds 4,000 characters."""
        every = f"pullRequests/{number}/threads"
        text = f"<!-- headroom report -->\n{proposal.text}"
        for thread in self.client.call("GET", self._at(every))["value"]:
            first = (thread.get("comments") or [{}])[0]
            if (first.get("content") or "").startswith("<!-- headroom report -->"):
                address = self._at(f"{every}/{thread['id']}/comments/{first['id']}")
                self.client.call("PATCH", address, {"content": text})
                return
        comment = {"parentCommentId": 0, "content": text, "commentType": "text"}
        self.client.call("POST", self._at(every), {"comments": [comment], "status": "active"})


FORGES: dict[str, tuple[Callable[..., Forge], tuple[str, ...]]] = {
    "github": (GitHub.read, ("GITHUB_TOKEN", "GITHUB_API_URL", "GITHUB_REPOSITORY", "BASE_BRANCH")),
    "gitlab": (GitLab.read, ("HEADROOM_TOKEN", "CI_API_V4_URL", "CI_PROJECT_ID", "CI_DEFAULT_BRANCH")),
    "azure": (
        Azure.read,
        (
            "SYSTEM_ACCESSTOKEN",
            "SYSTEM_COLLECTIONURI",
            "SYSTEM_TEAMPROJECT",
            "BUILD_REPOSITORY_ID",
            "BUILD_SOURCEBRANCH",
        ),
    ),
}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How often."""

    minutes: int = 60
    a_day: int = 5


def propose(forge: Forge, proposal: Proposal, now: datetime, limits: Limits) -> str:
    """Opens the pull request, or brings it up to date; says in a sentence what was done.

    Raises:
        FailedError: The forge refused or did not answer.
    """
    text = proposal.marked(now, TEXT_CHARACTERS[forge.name])
    requests = forge.of_branch(proposal.branch)
    present = next((each for each in requests if each.open), None)
    if present is not None:
        return _update(forge, present, proposal, text, now, limits)
    refusal = _not_now(forge, requests, now, limits)
    return refusal or _open(forge, proposal, text)


def _not_now(forge: Forge, requests: Sequence[PullRequest], now: datetime, limits: Limits) -> str:
    """Why no pull request is opened now; empty: one is."""
    wait = timedelta(minutes=limits.minutes)
    ended = max((each.closed for each in requests if each.closed), default=None)
    if ended is not None and now - ended < wait:
        return f"It was closed at {ended:%H:%M} UTC and is not opened again before {ended + wait:%H:%M} UTC."
    today = [each for each in forge.since(now - timedelta(days=1)) if each.branch.startswith(PREFIX)]
    if len(today) >= limits.a_day:
        return f"{len(today)} pull requests were opened within a day: no further one (HEADROOM_A_DAY)."
    return ""


def _open(forge: Forge, proposal: Proposal, text: str) -> str:
    tip = forge.tip(proposal.branch)
    if tip is not None and not tip.ours:
        return f"The branch {proposal.branch} has a commit of somebody else and no pull request: delete or open it."
    try:
        written = forge.write(proposal, tip, anew=True)
    except FailedError as error:
        # Another run was faster, or the answer was lost on its way: then the commit is there.
        tip = forge.tip(proposal.branch) if error.code in DOUBLED else None
        if tip is None or not tip.ours:
            raise
        written = True
    if not written:
        return "The default branch says that already: what is left to do is `pulumi up`."
    try:
        return f"Opened {forge.open(proposal, text)}"
    except FailedError as error:
        # The same of the pull request.
        found = [each for each in forge.of_branch(proposal.branch) if each.open] if error.code in DOUBLED else []
        if not found:
            raise
        return f"Is open already: {found[0].address}"


def _update(  # noqa: PLR0913, PLR0917 - what the rule needs
    forge: Forge, present: PullRequest, proposal: Proposal, text: str, now: datetime, limits: Limits
) -> str:
    mark = MARK.match(present.text)
    rank = int(mark["rank"]) if mark else -1
    if mark and mark["digest"] == proposal.digest:
        return f"Says that already: {present.address}"
    changed = _marked_at(mark)
    # A text is open to whoever may edit it: a time that is none, or has not come yet, holds nothing back.
    if changed is not None and changed <= now and proposal.rank <= rank:
        again = changed + timedelta(minutes=limits.minutes)
        if mark and now < again:
            return f"Was brought up to date at {mark['time']}, and is not again before {again:%H:%M} UTC."
    tip = forge.tip(proposal.branch)
    note = ""
    if tip is None or tip.ours:
        forge.write(proposal, tip, anew=False)
    else:
        note = " Somebody has changed its branch: the files were left as they are."
    forge.change(present, proposal, text)
    return f"Brought up to date: {present.address}{note}"


def read_proposal(folder: Path) -> Proposal | None:
    """What is to be proposed; None: nothing.

    Raises:
        ValueError: It is not what `headroom respond` writes: the sentence says where.
    """
    file = folder / "proposal.json"
    if not file.is_file():
        return None
    document = json.loads(file.read_text(encoding="utf-8"))
    try:
        proposal = Proposal(
            branch=document["branch"],
            title=document["title"],
            labels=tuple(document["labels"]),
            rank=int(document["rank"]),
            message=document["message"],
            files=dict(document["files"]),
            text=(folder / "body.md").read_text(encoding="utf-8"),
        )
    except (KeyError, TypeError, OSError) as error:
        raise ValueError(f"{file} is not what `headroom respond` writes: {error}") from None
    # The job that wrote it read a cluster; this one can write: it takes names and files of a plan and nothing else.
    wrong = [path for path in proposal.files if not ALLOWED.fullmatch(path)]
    if not BRANCH.fullmatch(proposal.branch) or wrong or not proposal.files:
        named = ", ".join(wrong) or proposal.branch
        raise ValueError(f"{file} names something else than a plan's branch and files: {named[:200]}")
    if TRAILER not in proposal.message:
        proposal = replace(proposal, message=f"{proposal.message}\n\n{TRAILER}unknown")
    return proposal


def _since(page: Callable[[int], list[PullRequest]], when: datetime) -> list[PullRequest]:
    """What a list that comes page by page, the newest first, has since then."""
    found: list[PullRequest] = []
    number = 1
    while True:
        items = page(number)
        found += [each for each in items if each.created >= when]
        if len(items) < PAGE or items[-1].created < when:
            return found
        number += 1


def _page_of(item: Mapping[str, Any]) -> str:
    """A pull request's page at Azure DevOps; of the API's own address nobody can read anything."""
    web = (item.get("repository") or {}).get("webUrl")
    return f"{web}/pullrequest/{item['pullRequestId']}" if web else str(item["url"])


def _marked_at(mark: re.Match[str] | None) -> datetime | None:
    """When a text of ours was written; None where that cannot be told."""
    try:
        return datetime.strptime(mark["time"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC) if mark else None
    except ValueError:
        return None


def _time(text: str) -> datetime:
    """A forge's time; Azure DevOps writes seven decimals."""
    return datetime.fromisoformat(re.sub(r"\.\d+", "", text))


def _numbers(variables: Mapping[str, str]) -> Iterator[int]:
    for name, default in (("HEADROOM_MINUTES", 60), ("HEADROOM_A_DAY", 5)):
        value = variables.get(name) or str(default)
        if not re.fullmatch(r"[0-9]{1,5}", value):
            raise ValueError(f"{name} is no whole number.")
        yield int(value)


def main(arguments: list[str], variables: Mapping[str, str], *, now: float | None = None, **client: Any) -> int:
    """The exit code: 0 done, or nothing to do; 1 the forge refused; 2 called in the wrong way."""
    if len(arguments) != 2 or arguments[0] not in FORGES:  # noqa: PLR2004 - a forge and a folder
        sys.stderr.write(f"Usage: propose.py {'|'.join(FORGES)} FOLDER\n")
        return 2
    read, needed = FORGES[arguments[0]]
    missing = [name for name in needed if not variables.get(name)]
    if missing:
        sys.stderr.write(f"Not set: {', '.join(missing)}.\n")
        return 2
    try:
        minutes, a_day = _numbers(variables)
        proposal = read_proposal(Path(arguments[1]))
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    if proposal is None:
        sys.stdout.write("Nothing is proposed.\n")
        return 0
    when = datetime.fromtimestamp(time.time() if now is None else now, UTC)
    try:
        done = propose(read(variables, **client), proposal, when, Limits(minutes=minutes, a_day=a_day))
    except (FailedError, LookupError, TypeError, ValueError, AttributeError) as error:
        unexpected = "" if isinstance(error, FailedError) else "The forge answered something unexpected: "
        sys.stderr.write(f"{unexpected}{error}\n")
        return 1
    sys.stdout.write(f"{done}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
