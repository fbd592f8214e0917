"""A small stand-in for the APIs of GitHub, GitLab and Azure DevOps: one repository, kept in memory.

It knows the requests that the trigger and `templates/ci/propose.py` make, checks them as the forge's reference says,
and answers as it does: what is wrong with a token, a body or a name is refused with the documented code. What it does
not know is 404, so a request that no reference names is seen. Faults are ordered with `fail`.

- GitHub REST API: repos/create-a-repository-dispatch-event, git/{refs,trees,commits}, pulls, issues/labels
- GitLab REST API: pipeline triggers, branches, repository files, commits, merge requests
- Azure DevOps REST API 7.1: pipelines/runs, git/{refs,items,commits,pushes,pull requests,labels,threads}
"""

import base64
import hashlib
import json
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self
from urllib.parse import parse_qs, unquote, urlsplit

FORGES: Final = ("github", "gitlab", "azure")

OWNER, NAME = "org", "infra"
PROJECT: Final = 5
"""GitLab's number of the project."""
PIPELINE: Final = 12
"""Azure's number of the pipeline."""
BASE: Final = "main"

TRIGGER_TOKEN = "trigger-t0ken"  # noqa: S105 - of the stand-in
"""What may start a pipeline, and nothing else."""
JOB_TOKEN = "job-t0ken"  # noqa: S105 - the same
"""What a job may do: branches and pull requests."""

PAYLOAD_PROPERTIES: Final = 10
"""Of a client_payload (GitHub REST API, create a repository dispatch event)."""
EVENT_TYPE_CHARACTERS: Final = 100
BODY_CHARACTERS: Final = {"github": 65_536, "gitlab": 1_048_576, "azure": 4_000}
"""Longest text of a pull request (GitHub's and Azure's errors; GitLab, instance limits)."""
LISTED_CHARACTERS: Final = 400
"""Of a description in Azure's list of pull requests."""
NOTHING: Final = "0" * 40
"""Git's name for no commit."""


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit: its message and all files after it."""

    parent: str
    message: str
    files: Mapping[str, str]

    @property
    def name(self) -> str:
        """Its hash."""
        return _digest(json.dumps([self.parent, self.message, sorted(self.files.items())]))


@dataclass(slots=True, kw_only=True)
class PullRequest:
    """A pull request, whatever the forge calls it."""

    number: int
    branch: str
    base: str
    title: str
    text: str
    labels: list[str] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    state: str = "open"
    created: float
    closed: float | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """What the forge was asked."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any


class RefusedError(Exception):
    """The answer is an error: its code, its body, its headers."""

    def __init__(self, code: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{code}: {body}")
        self.code, self.body, self.headers = code, body, dict(headers or {})


@dataclass(slots=True)
class Fault:
    """The next answer to requests whose method and path match, `count` times."""

    pattern: re.Pattern[str]
    code: int
    body: Any
    headers: Mapping[str, str]
    count: int
    after: bool
    seconds: float


class Forge:
    """One repository at one of the forges; a context manager that ends its server."""

    def __init__(self, name: str, *, clock: Callable[[], float] = time.time) -> None:
        if name not in FORGES:
            raise ValueError(f"{name} is none of {', '.join(FORGES)}")
        self.name = name
        self.clock = clock
        first = Commit("", "the start", {"README.md": "infrastructure\n"})
        self.commits: dict[str, Commit] = {first.name: first}
        self.branches: dict[str, str] = {BASE: first.name}
        self.pull_requests: list[PullRequest] = []
        self.labels: set[str] = set()
        self.started: list[dict[str, Any]] = []
        """What pipelines were started with: GitHub's client_payload, GitLab's variables, Azure's templateParameters."""
        self.requests: list[Request] = []
        self._faults: list[Fault] = []
        self._trees: dict[str, dict[str, str]] = {}
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the server."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # What a test or a rehearsal sees and does.

    @property
    def open(self) -> list[PullRequest]:
        """The open pull requests."""
        return [each for each in self.pull_requests if each.state == "open"]

    def files(self, branch: str = BASE) -> Mapping[str, str]:
        """The files of a branch."""
        return self.commits[self.branches[branch]].files

    def end(self, number: int, *, merged: bool = False) -> None:
        """Somebody closes a pull request, or merges it."""
        found = next(each for each in self.pull_requests if each.number == number)
        found.state, found.closed = ("merged" if merged else "closed"), self.clock()
        if merged:
            files = {**self.files(found.base), **self.files(found.branch)}
            self._commit(found.base, Commit(self.branches[found.base], "merged", files))
            del self.branches[found.branch]

    def push(self, branch: str, files: Mapping[str, str], message: str = "by hand") -> None:
        """Somebody pushes a commit."""
        tip = self.branches.get(branch, self.branches[BASE])
        self._commit(branch, Commit(tip, message, {**self.commits[tip].files, **files}))

    def fail(  # noqa: PLR0913 - an answer, by keyword
        self,
        pattern: str,
        code: int,
        *,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        count: int = 1,
        after: bool = False,
        seconds: float = 0,
    ) -> None:
        """Orders an error for requests whose `METHOD /path` matches.

        Args:
            pattern: A regular expression for method and path.
            code: The status code; 0 breaks the connection off without an answer.
            body: What the answer says.
            headers: Its headers.
            count: How often.
            after: Whether the request has taken effect before it fails.
            seconds: How long the answer takes.
        """
        said = {"message": "ordered"} if body is None else body
        self._faults.append(Fault(re.compile(pattern), code, said, dict(headers or {}), count, after, seconds))

    def variables(self) -> dict[str, str]:
        """What the forge sets in a job that may open pull requests, by the names that `propose.py` reads."""
        return {
            "github": {
                "GITHUB_TOKEN": JOB_TOKEN,
                "GITHUB_API_URL": self.address,
                "GITHUB_REPOSITORY": f"{OWNER}/{NAME}",
                "BASE_BRANCH": BASE,
            },
            "gitlab": {
                "HEADROOM_TOKEN": JOB_TOKEN,
                "CI_API_V4_URL": f"{self.address}/api/v4",
                "CI_PROJECT_ID": str(PROJECT),
                "CI_DEFAULT_BRANCH": BASE,
            },
            "azure": {
                "SYSTEM_ACCESSTOKEN": JOB_TOKEN,
                "SYSTEM_COLLECTIONURI": f"{self.address}/{OWNER}/",
                "SYSTEM_TEAMPROJECT": NAME,
                "BUILD_REPOSITORY_ID": "r-1",
                "BUILD_SOURCEBRANCH": f"refs/heads/{BASE}",
            },
        }[self.name]

    # Serving.

    def serve(self, request: Request) -> tuple[int, Any, Mapping[str, str]]:
        """The answer to a request: status code, body, headers."""
        line = f"{request.method} {request.path}"
        fault = next((each for each in self._faults if each.count and each.pattern.search(line)), None)
        if fault is not None:
            fault.count -= 1
            if fault.seconds:
                time.sleep(fault.seconds)
        with self._lock:
            self.requests.append(request)
            if fault is not None and not fault.after:
                return fault.code, fault.body, fault.headers
            try:
                code, body = self._answer(request)
            except RefusedError as error:
                return error.code, error.body, error.headers
            if fault is not None:
                return fault.code, fault.body, fault.headers
            return code, body, {}

    def _answer(self, request: Request) -> tuple[int, Any]:
        split = urlsplit(request.path)
        query = {key: values[-1] for key, values in parse_qs(split.query).items()}
        for method, pattern, serve in _ROUTES[self.name]:
            found = re.fullmatch(pattern, split.path)
            if found and method == request.method:
                self._authorized(request, starts=serve.__name__ == "_start")
                body = request.body if isinstance(request.body, dict | list) else {}
                return serve(self, [unquote(each) for each in found.groups()], query, body)
        raise RefusedError(404, _NOT_FOUND[self.name])

    def _authorized(self, request: Request, *, starts: bool) -> None:
        """Refuses a request without the right token, as each forge does."""
        sent = {name.lower(): value for name, value in request.headers.items()}
        wanted = TRIGGER_TOKEN if starts else JOB_TOKEN
        if self.name == "gitlab":
            if starts:
                # The trigger's token is a parameter; a wrong one is as if there were no such project.
                if (request.body or {}).get("token") != wanted:
                    raise RefusedError(404, {"message": "404 Not Found"})
            elif sent.get("private-token") != wanted:
                raise RefusedError(401, {"message": "401 Unauthorized"})
            return
        given = sent.get("authorization", "")
        kind, _, value = given.partition(" ")
        if self.name == "azure" and kind == "Basic":
            value = base64.b64decode(value).decode().partition(":")[2]
        elif kind != "Bearer":
            value = ""
        if value == wanted:
            return
        if self.name == "github":
            raise RefusedError(401, {"message": "Bad credentials", "status": "401"})
        if sent.get("x-tfs-fedauthredirect") != "Suppress":
            # The sign-in page, with a code that looks like success.
            raise RefusedError(203, "<html>Azure DevOps Services | Sign In</html>", {"Content-Type": "text/html"})
        raise RefusedError(401, "")

    def _commit(self, branch: str, commit: Commit) -> str:
        self.commits[commit.name] = commit
        self.branches[branch] = commit.name
        return commit.name

    def _opened(self, branch: str, base: str, title: str, text: str) -> PullRequest:
        made = PullRequest(
            number=len(self.pull_requests) + 1, branch=branch, base=base, title=title, text=text, created=self.clock()
        )
        self.pull_requests.append(made)
        return made

    def _numbered(self, number: str, missing: Any) -> PullRequest:
        found = [each for each in self.pull_requests if each.number == int(number)]
        if not found:
            raise RefusedError(404, missing)
        return found[0]


# GitHub.


def _github_pull(forge: Forge, each: PullRequest) -> dict[str, Any]:
    return {
        "number": each.number,
        "html_url": f"{forge.address}/{OWNER}/{NAME}/pull/{each.number}",
        "state": "open" if each.state == "open" else "closed",
        "title": each.title,
        "body": each.text,
        "head": {"ref": each.branch, "label": f"{OWNER}:{each.branch}"},
        "base": {"ref": each.base},
        "labels": [{"name": name} for name in each.labels],
        "created_at": _iso(each.created),
        "closed_at": None if each.closed is None else _iso(each.closed),
        "merged_at": _iso(each.closed) if each.state == "merged" and each.closed is not None else None,
    }


def _invalid(resource: str, **error: str) -> RefusedError:
    return RefusedError(422, {"message": "Validation Failed", "errors": [{"resource": resource, **error}]})


def _github_dispatch(forge: Forge, found: Sequence[str], query: Mapping[str, str], body: Any) -> tuple[int, Any]:
    del found, query
    name, payload = body.get("event_type"), body.get("client_payload", {})
    if not isinstance(name, str) or not name or len(name) > EVENT_TYPE_CHARACTERS:
        raise RefusedError(422, {"message": 'Invalid request.\n\n"event_type" wasn\'t supplied.'})
    if not isinstance(payload, dict) or len(payload) > PAYLOAD_PROPERTIES:
        raise RefusedError(422, {"message": "No more than 10 properties are allowed in client_payload."})
    forge.started.append({"event_type": name, "client_payload": payload})
    return 204, None


_github_dispatch.__name__ = "_start"


def _github_ref(forge: Forge, found: Sequence[str], query: Mapping[str, str], body: Any) -> tuple[int, Any]:
    del query, body
    if found[0] not in forge.branches:
        raise RefusedError(404, {"message": "Not Found"})
    return 200, {"ref": f"refs/heads/{found[0]}", "object": {"type": "commit", "sha": forge.branches[found[0]]}}


def _github_commit(forge: Forge, found: Sequence[str], query: Mapping[str, str], body: Any) -> tuple[int, Any]:
    del query, body
    commit = forge.commits.get(found[0])
    if commit is None:
        raise RefusedError(404, {"message": "Not Found"})
    tree = _digest(json.dumps(sorted(commit.files.items())))
    forge._trees[tree] = dict(commit.files)  # noqa: SLF001 - the same module
    return 200, {"sha": found[0], "message": commit.message, "tree": {"sha": tree}}


def _github_make_tree(forge: Forge, found: Sequence[str], query: Mapping[str, str], body: Any) -> tuple[int, Any]:
    del found, query
    trees = forge._trees  # noqa: SLF001 - the same module
    if body.get("base_tree") not in trees:
        raise RefusedError(422, {"message": "base_tree is not a valid tree oid"})
    files = dict(trees[body["base_tree"]])
    for entry in body["tree"]:
        if entry.get("mode") != "100644" or entry.get("type") != "blob":
            raise RefusedError(422, {"message": "tree.mode is invalid"})
        files[entry["path"]] = entry["content"]
    tree = _digest(json.dumps(sorted(files.items())))
    trees[tree] = files
    return 201, {"sha": tree}


def _github_make_commit(forge: Forge, found: Sequence[str], query: Mapping[str, str], body: Any) -> tuple[int, Any]:
    del found, query
    tree = forge._trees.get(body.get("tree", ""))  # noqa: SLF001 - the same module
    parents = body.get("parents", [])
    if tree is None or any(parent not in forge.commits for parent in parents):
        raise RefusedError(422, {"message": "Tree SHA does not exist"})
    commit = Commit(parents[0] if parents else "", body["message"], tree)
    forge.commits[commit.name] = commit
    return 201, {"sha": commit.name}


def _github_make_ref(forge: Forge, found: Sequence[str], query: Mapping[str, str], body: Any) -> tuple[int, Any]:
    del found, query
    branch = body["ref"].removeprefix("refs/heads/")
    if branch in forge.branches:
        raise RefusedError(422, {"message": "Reference already exists"})
    if body["sha"] not in forge.commits:
        raise RefusedError(422, {"message": "Object does not exist"})
    forge.branches[branch] = body["sha"]
    return 201, {"ref": body["ref"]}


def _github_move_ref(forge: Forge, found: Sequence[str], query: Mapping[str, str], body: Any) -> tuple[int, Any]:
    del query
    if found[0] not in forge.branches:
        raise RefusedError(422, {"message": "Reference does not exist"})
    if forge.commits[body["sha"]].parent != forge.branches[found[0]] and not body.get("force"):
        raise RefusedError(422, {"message": "Update is not a fast forward"})
    forge.branches[found[0]] = body["sha"]
    return 200, {"ref": f"refs/heads/{found[0]}"}


def _github_pulls(forge: Forge, found: Sequence[str], query: Mapping[str, str], body: Any) -> tuple[int, Any]:
    del found, body
    state, head = query.get("state", "open"), query.get("head", "")
    listed = [
        each
        for each in reversed(forge.pull_requests)
        if (state == "all" or (state == "open") == (each.state == "open"))
        and (not head or head == f"{OWNER}:{each.branch}")
    ]
    return 200, [_github_pull(forge, each) for each in _page(listed, query)]


def _github_open(forge: Forge, found: Sequence[str], query: Mapping[str, str], body: Any) -> tuple[int, Any]:
    del found, query
    branch, base = body.get("head", ""), body.get("base", "")
    for name, value in (("head", branch), ("base", base)):
        if value not in forge.branches:
            raise _invalid("PullRequest", field=name, code="invalid")
    if any(each.branch == branch and each.base == base for each in forge.open):
        raise _invalid("PullRequest", code="custom", message=f"A pull request already exists for {OWNER}:{branch}.")
    if forge.branches[branch] == forge.branches[base]:
        raise _invalid("PullRequest", code="custom", message=f"No commits between {base} and {branch}")
    if len(body.get("body") or "") > BODY_CHARACTERS["github"]:
        raise _invalid(
            "PullRequest", field="body", code="custom", message="body is too long (maximum is 65536 characters)"
        )
    made = forge._opened(branch, base, body["title"], body.get("body") or "")  # noqa: SLF001 - the same module
    return 201, _github_pull(forge, made)


def _github_change(forge: Forge, found: Sequence[str], query: Mapping[str, str], body: Any) -> tuple[int, Any]:
    del query
    each = forge._numbered(found[0], {"message": "Not Found"})  # noqa: SLF001 - the same module
    each.title, each.text = body.get("title", each.title), body.get("body", each.text)
    return 200, _github_pull(forge, each)


def _github_label(forge: Forge, found: Sequence[str], query: Mapping[str, str], body: Any) -> tuple[int, Any]:
    del query
    each = forge._numbered(found[0], {"message": "Not Found"})  # noqa: SLF001 - the same module
    _add(each.labels, body["labels"])
    return 200, [{"name": name} for name in each.labels]


# GitLab.


def _gitlab_request(forge: Forge, each: PullRequest) -> dict[str, Any]:
    return {
        "iid": each.number,
        "web_url": f"{forge.address}/{OWNER}/{NAME}/-/merge_requests/{each.number}",
        "state": {"open": "opened"}.get(each.state, each.state),
        "title": each.title,
        "description": each.text,
        "source_branch": each.branch,
        "target_branch": each.base,
        "labels": each.labels,
        "created_at": _iso(each.created),
        "closed_at": _iso(each.closed) if each.state == "closed" and each.closed is not None else None,
        "merged_at": _iso(each.closed) if each.state == "merged" and each.closed is not None else None,
    }


def _gitlab_trigger(forge: Forge, found: Sequence[str], query: Mapping[str, str], body: Any) -> tuple[int, Any]:
    del found, query
    if body.get("ref") not in forge.branches:
        raise RefusedError(400, {"message": {"base": ["Reference not found"]}})
    variables = body.get("variables", {})
    if not all(isinstance(value, str) for value in variables.values()):
        raise RefusedError(400, {"message": "variables needs to be a map of key-valued strings"})
    forge.started.append(dict(variables))
    return 201, {"id": len(forge.started), "ref": body["ref"], "status": "pending"}


_gitlab_trigger.__name__ = "_start"


def _gitlab_branch(forge: Forge, found: Sequence[str], query: Mapping[str, str], body: Any) -> tuple[int, Any]:
    del query, body
    if found[0] not in forge.branches:
        raise RefusedError(404, {"message": "404 Branch Not Found"})
    tip = forge.branches[found[0]]
    return 200, {"name": found[0], "commit": {"id": tip, "message": forge.commits[tip].message}}


def _gitlab_file(forge: Forge, found: Sequence[str], query: Mapping[str, str], body: Any) -> tuple[int, Any]:
    del body
    branch = query["ref"]
    if branch not in forge.branches:
        raise RefusedError(404, {"message": "404 Commit Not Found"})
    text = forge.files(branch).get(found[0])
    if text is None:
        raise RefusedError(404, {"message": "404 File Not Found"})
    return 200, {"file_path": found[0], "encoding": "base64", "content": base64.b64encode(text.encode()).decode()}


def _gitlab_commit(forge: Forge, found: Sequence[str], query: Mapping[str, str], body: Any) -> tuple[int, Any]:
    del found, query
    branch, start = body["branch"], body.get("start_branch")
    if start is not None and branch in forge.branches and not body.get("force"):
        raise RefusedError(
            400,
            {"message": f"A branch called '{branch}' already exists. Switch to that branch in order to make changes"},
        )
    source = start if start is not None else branch
    if source not in forge.branches:
        raise RefusedError(400, {"message": "You can only create or edit files when you are on a branch"})
    files = dict(forge.files(source))
    for action in body["actions"]:
        path, kind = action["file_path"], action["action"]
        if kind == "create" and path in files:
            raise RefusedError(400, {"message": "A file with this name already exists"})
        if kind == "update" and path not in files:
            raise RefusedError(400, {"message": "A file with this name doesn't exist"})
        files[path] = action["content"]
    name = forge._commit(branch, Commit(forge.branches[source], body["commit_message"], files))  # noqa: SLF001 - the same module
    return 201, {"id": name}


def _gitlab_list(forge: Forge, found: Sequence[str], query: Mapping[str, str], body: Any) -> tuple[int, Any]:
    del found, body
    since = query.get("created_after", "")
    listed = [
        each
        for each in reversed(forge.pull_requests)
        if query.get("source_branch") in (None, each.branch) and _iso(each.created) >= since
    ]
    return 200, [_gitlab_request(forge, each) for each in _page(listed, query)]


def _gitlab_open(forge: Forge, found: Sequence[str], query: Mapping[str, str], body: Any) -> tuple[int, Any]:
    del found, query
    branch, base = body["source_branch"], body["target_branch"]
    same = [each for each in forge.open if each.branch == branch and each.base == base]
    if same:
        said = f"Another open merge request already exists for this source branch: !{same[0].number}"
        raise RefusedError(409, {"message": [said]})
    if branch not in forge.branches:
        raise RefusedError(422, {"message": {"source_branch": ["does not exist"]}})
    made = forge._opened(branch, base, body["title"], body.get("description") or "")  # noqa: SLF001 - the same module
    _add(made.labels, body.get("labels", "").split(","))
    return 201, _gitlab_request(forge, made)


def _gitlab_change(forge: Forge, found: Sequence[str], query: Mapping[str, str], body: Any) -> tuple[int, Any]:
    del query
    each = forge._numbered(found[0], {"message": "404 Not found"})  # noqa: SLF001 - the same module
    each.title, each.text = body.get("title", each.title), body.get("description", each.text)
    _add(each.labels, body.get("add_labels", "").split(","))
    return 200, _gitlab_request(forge, each)


# Azure DevOps.


def _azure_request(forge: Forge, each: PullRequest) -> dict[str, Any]:
    return {
        "pullRequestId": each.number,
        "url": f"{forge.address}/{OWNER}/{NAME}/_apis/git/repositories/r-1/pullRequests/{each.number}",
        "repository": {"webUrl": f"{forge.address}/{OWNER}/{NAME}/_git/{NAME}"},
        "status": {"open": "active", "closed": "abandoned", "merged": "completed"}[each.state],
        "title": each.title,
        "description": each.text,
        "sourceRefName": f"refs/heads/{each.branch}",
        "targetRefName": f"refs/heads/{each.base}",
        "creationDate": _iso(each.created),
        **({} if each.closed is None else {"closedDate": _iso(each.closed)}),
    }


def _azure_run(forge: Forge, found: Sequence[str], query: Mapping[str, str], body: Any) -> tuple[int, Any]:
    del found
    _versioned(query)
    ref = body.get("resources", {}).get("repositories", {}).get("self", {}).get("refName", f"refs/heads/{BASE}")
    if ref.removeprefix("refs/heads/") not in forge.branches:
        raise RefusedError(400, {"message": f"Could not get the latest source version for repository {NAME}."})
    parameters = body.get("templateParameters", {})
    forge.started.append(dict(parameters))
    return 200, {"id": len(forge.started), "state": "inProgress", "templateParameters": parameters}


_azure_run.__name__ = "_start"


def _azure_refs(forge: Forge, found: Sequence[str], query: Mapping[str, str], body: Any) -> tuple[int, Any]:
    del found, body
    _versioned(query)
    listed = [name for name in forge.branches if f"heads/{name}".startswith(query.get("filter", ""))]
    return 200, {"value": [{"name": f"refs/heads/{name}", "objectId": forge.branches[name]} for name in listed]}


def _azure_move_refs(forge: Forge, found: Sequence[str], query: Mapping[str, str], body: Any) -> tuple[int, Any]:
    del found
    _versioned(query)
    answers = []
    for item in body:
        branch = item["name"].removeprefix("refs/heads/")
        fresh = forge.branches.get(branch, NOTHING) == item["oldObjectId"]
        if fresh and item["newObjectId"] == NOTHING:
            del forge.branches[branch]
        elif fresh:
            forge.branches[branch] = item["newObjectId"]
        status = "succeeded" if fresh else "staleOldObjectId"
        answers.append({"name": item["name"], "success": fresh, "updateStatus": status})
    return 200, {"value": answers}


def _azure_commit(forge: Forge, found: Sequence[str], query: Mapping[str, str], body: Any) -> tuple[int, Any]:
    del body
    _versioned(query)
    commit = forge.commits.get(found[0])
    if commit is None:
        raise RefusedError(
            404, {"message": f"TF401175: The version descriptor <Commit: {found[0]}> could not be resolved"}
        )
    return 200, {"commitId": found[0], "comment": commit.message}


def _azure_item(forge: Forge, found: Sequence[str], query: Mapping[str, str], body: Any) -> tuple[int, Any]:
    del found, body
    _versioned(query)
    branch = query["versionDescriptor.version"]
    text = forge.files(branch).get(query["path"].lstrip("/")) if branch in forge.branches else None
    if text is None:
        raise RefusedError(
            404, {"message": f"TF401174: The item '{query['path']}' could not be found in the repository"}
        )
    return 200, {"path": query["path"], "content": text}


def _azure_push(forge: Forge, found: Sequence[str], query: Mapping[str, str], body: Any) -> tuple[int, Any]:
    del found
    _versioned(query)
    (update,), (commit,) = body["refUpdates"], body["commits"]
    branch, old = update["name"].removeprefix("refs/heads/"), update["oldObjectId"]
    if old not in forge.commits:
        raise RefusedError(400, {"message": f"TF401035: The object '{old}' does not exist."})
    if forge.branches.get(branch, old) != old:
        said = f"TF401028: The reference '{update['name']}' has already been updated by another client"
        raise RefusedError(409, {"message": said, "typeKey": "GitReferenceStaleException"})
    files = dict(forge.commits[old].files)
    for change in commit["changes"]:
        path, kind = change["item"]["path"].lstrip("/"), change["changeType"]
        if (kind == "add") == (path in files):
            raise RefusedError(400, {"message": f"TF402455: The pushes were not accepted: {kind} of '{path}'"})
        files[path] = change["newContent"]["content"]
    name = forge._commit(branch, Commit(old, commit["comment"], files))  # noqa: SLF001 - the same module
    return 201, {"pushId": 1, "commits": [{"commitId": name}]}


def _azure_list(forge: Forge, found: Sequence[str], query: Mapping[str, str], body: Any) -> tuple[int, Any]:
    del found, body
    _versioned(query)
    branch = query.get("searchCriteria.sourceRefName", "").removeprefix("refs/heads/")
    wanted = query.get("searchCriteria.status", "active")
    listed = [
        each
        for each in reversed(forge.pull_requests)
        if (not branch or each.branch == branch) and (wanted == "all" or each.state == "open")
    ]
    skip, top = int(query.get("$skip", "0")), int(query.get("$top", "100"))
    answers = [_azure_request(forge, each) for each in listed[skip : skip + top]]
    # A list has the beginnings of the descriptions alone (azure-devops-python-api #197).
    for answer in answers:
        answer["description"] = answer["description"][:LISTED_CHARACTERS]
    return 200, {"value": answers}


def _azure_open(forge: Forge, found: Sequence[str], query: Mapping[str, str], body: Any) -> tuple[int, Any]:
    del found
    _versioned(query)
    branch, base = (body[key].removeprefix("refs/heads/") for key in ("sourceRefName", "targetRefName"))
    if any(each.branch == branch and each.base == base for each in forge.open):
        said = "TF401179: An active pull request for the source and target branch already exists."
        raise RefusedError(409, {"message": said, "typeKey": "GitPullRequestExistsException"})
    _azure_short(body)
    made = forge._opened(branch, base, body["title"], body.get("description") or "")  # noqa: SLF001 - the same module
    _add(made.labels, [each["name"] for each in body.get("labels", [])])
    return 201, _azure_request(forge, made)


def _azure_change(forge: Forge, found: Sequence[str], query: Mapping[str, str], body: Any) -> tuple[int, Any]:
    _versioned(query)
    _azure_short(body)
    each = forge._numbered(found[0], {"message": "TF401180: The requested pull request was not found."})  # noqa: SLF001 - the same module
    each.title, each.text = body.get("title", each.title), body.get("description", each.text)
    return 200, _azure_request(forge, each)


def _azure_short(body: Mapping[str, Any]) -> None:
    if len(body.get("description") or "") > BODY_CHARACTERS["azure"]:
        limit = "A description for a pull request must not be longer than 4000 characters."
        said = f"Invalid argument value.\r\nParameter name: {limit}"
        raise RefusedError(400, {"message": said, "typeKey": "InvalidArgumentValueException"})


def _azure_label(forge: Forge, found: Sequence[str], query: Mapping[str, str], body: Any) -> tuple[int, Any]:
    _versioned(query)
    each = forge._numbered(found[0], {"message": "TF401180: The requested pull request was not found."})  # noqa: SLF001 - the same module
    _add(each.labels, [body["name"]])
    return 200, {"name": body["name"], "active": True}


def _azure_threads(forge: Forge, found: Sequence[str], query: Mapping[str, str], body: Any) -> tuple[int, Any]:
    del body
    _versioned(query)
    each = forge._numbered(found[0], {"message": "TF401180: The requested pull request was not found."})  # noqa: SLF001 - the same module
    return 200, {
        "value": [{"id": number, "comments": [{"id": 1, "content": text}]} for number, text in enumerate(each.comments)]
    }


def _azure_thread(forge: Forge, found: Sequence[str], query: Mapping[str, str], body: Any) -> tuple[int, Any]:
    _versioned(query)
    each = forge._numbered(found[0], {"message": "TF401180: The requested pull request was not found."})  # noqa: SLF001 - the same module
    each.comments.append(body["comments"][0]["content"])
    return 200, {"id": len(each.comments) - 1}


def _azure_comment(forge: Forge, found: Sequence[str], query: Mapping[str, str], body: Any) -> tuple[int, Any]:
    _versioned(query)
    each = forge._numbered(found[0], {"message": "TF401180: The requested pull request was not found."})  # noqa: SLF001 - the same module
    each.comments[int(found[1])] = body["content"]
    return 200, {"id": 1, "content": body["content"]}


def _versioned(query: Mapping[str, str]) -> None:
    if query.get("api-version") != "7.1":
        raise RefusedError(400, {"message": "No api-version was supplied for the request."})


# All of them.


_Serve = Callable[[Forge, Sequence[str], Mapping[str, str], Any], tuple[int, Any]]

_GITHUB: Final = f"/repos/{OWNER}/{NAME}"
_GITLAB: Final = f"/api/v4/projects/(?:{PROJECT}|{OWNER}%2F{NAME})"
_AZURE: Final = f"/{OWNER}/{NAME}/_apis/git/repositories/r-1"

_ROUTES: Final[Mapping[str, Sequence[tuple[str, str, _Serve]]]] = {
    "github": (
        ("POST", f"{_GITHUB}/dispatches", _github_dispatch),
        ("GET", f"{_GITHUB}/git/ref/heads/(.+)", _github_ref),
        ("GET", f"{_GITHUB}/git/commits/(\\w+)", _github_commit),
        ("POST", f"{_GITHUB}/git/trees", _github_make_tree),
        ("POST", f"{_GITHUB}/git/commits", _github_make_commit),
        ("POST", f"{_GITHUB}/git/refs", _github_make_ref),
        ("PATCH", f"{_GITHUB}/git/refs/heads/(.+)", _github_move_ref),
        ("GET", f"{_GITHUB}/pulls", _github_pulls),
        ("POST", f"{_GITHUB}/pulls", _github_open),
        ("PATCH", f"{_GITHUB}/pulls/(\\d+)", _github_change),
        ("POST", f"{_GITHUB}/issues/(\\d+)/labels", _github_label),
    ),
    "gitlab": (
        ("POST", f"{_GITLAB}/trigger/pipeline", _gitlab_trigger),
        ("GET", f"{_GITLAB}/repository/branches/([^/]+)", _gitlab_branch),
        ("GET", f"{_GITLAB}/repository/files/([^/]+)", _gitlab_file),
        ("POST", f"{_GITLAB}/repository/commits", _gitlab_commit),
        ("GET", f"{_GITLAB}/merge_requests", _gitlab_list),
        ("POST", f"{_GITLAB}/merge_requests", _gitlab_open),
        ("PUT", f"{_GITLAB}/merge_requests/(\\d+)", _gitlab_change),
    ),
    "azure": (
        ("POST", f"/{OWNER}/{NAME}/_apis/pipelines/{PIPELINE}/runs", _azure_run),
        ("GET", f"{_AZURE}/refs", _azure_refs),
        ("POST", f"{_AZURE}/refs", _azure_move_refs),
        ("GET", f"{_AZURE}/commits/(\\w+)", _azure_commit),
        ("GET", f"{_AZURE}/items", _azure_item),
        ("POST", f"{_AZURE}/pushes", _azure_push),
        ("GET", f"{_AZURE}/pullrequests", _azure_list),
        ("POST", f"{_AZURE}/pullrequests", _azure_open),
        ("PATCH", f"{_AZURE}/pullrequests/(\\d+)", _azure_change),
        ("POST", f"{_AZURE}/pullRequests/(\\d+)/labels", _azure_label),
        ("GET", f"{_AZURE}/pullRequests/(\\d+)/threads", _azure_threads),
        ("POST", f"{_AZURE}/pullRequests/(\\d+)/threads", _azure_thread),
        ("PATCH", f"{_AZURE}/pullRequests/(\\d+)/threads/(\\d+)/comments/1", _azure_comment),
    ),
}
_NOT_FOUND: Final = {
    "github": {"message": "Not Found", "status": "404"},
    "gitlab": {"error": "404 Not Found"},
    "azure": {"message": "The controller for path was not found or does not implement IController."},
}


def _handler(forge: Forge) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # One packet an answer: else each waits for the other side's delayed acknowledgement.
        wbufsize = -1

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            text = self.rfile.read(length)
            try:
                body = json.loads(text) if text else None
            except ValueError:
                body = text.decode("utf-8", "replace")
            code, said, headers = forge.serve(Request(self.command, self.path, dict(self.headers.items()), body))
            if not code:
                self.close_connection = True
                return
            answer = b"" if said is None else said.encode() if isinstance(said, str) else json.dumps(said).encode()
            self.send_response(code)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            if code != 204:  # noqa: PLR2004 - No Content
                self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_PUT = do_PATCH = _serve  # noqa: N815 - the names that the library calls

        def log_message(self, *_: object) -> None:
            """Nothing: a rehearsal's output is its own."""

    return Handler


def _page(listed: Sequence[PullRequest], query: Mapping[str, str]) -> Sequence[PullRequest]:
    size, page = int(query.get("per_page", "30")), int(query.get("page", "1"))
    return listed[(page - 1) * size : page * size]


def _add(labels: list[str], more: Sequence[str]) -> None:
    labels.extend(name for name in more if name and name not in labels)


def _digest(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
