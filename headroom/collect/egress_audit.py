"""Reads every list of addresses in many subscriptions, for the audit of who allow-lists a cluster.

Resources come from Resource Graph, a thousand a page, and are held against Azure Resource Manager's own list of each
subscription: Resource Graph says nothing of types that it does not know and of what the caller may not see, and both
look like "there is none". Where the two differ, the resource is asked for by its id. Children are in no table of
Resource Graph and are asked of Azure Resource Manager, some at a time. Whatever is not read is said.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Protocol
from urllib.parse import quote, urlsplit

from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError
from azure.core.rest import HttpRequest

from headroom.addresses.problems import Problem, ProblemsError
from headroom.collect.readings import Progress, Readings, batches, side_by_side
from headroom.facts.values import Reason, Unknown
from headroom.planning.allow_list_services import BY_TYPE, PRIVATE_ENDPOINTS, SERVICES, Parent, Service
from headroom.planning.audit_record import Named, TypeCoverage
from headroom.planning.egress_audit import GRAPH, SUBSCRIPTIONS, Reading

Object = Mapping[str, Any]

SUBJECT: Final = "headroom audit-egress"
GRAPH_PATH: Final = "/providers/Microsoft.ResourceGraph/resources"
GRAPH_API: Final = "2021-03-01"
SUBSCRIPTIONS_API: Final = "2022-12-01"
RESOURCES_API: Final = "2021-04-01"
"""Versions of the APIs (Azure REST API reference: Resources, Subscriptions - List, Resources - List)."""
GRAPH_ROWS: Final = 1_000
"""Rows of an answer of Resource Graph at most (Azure Resource Graph documentation, work-with-data)."""
GRAPH_SUBSCRIPTIONS: Final = 1_000
"""Subscriptions that a query names at most (Azure Resource Graph documentation, troubleshoot/general)."""
GRAPH_TRIES: Final = 5
"""How often a throttled query is asked again, after as long as the answer says."""
LONGEST_PAUSE: Final = 15.0
"""Seconds to wait at most when Resource Graph throttles: its window has 5 (guidance-for-throttled-requests)."""
WORKERS: Final = 12
"""Calls to Azure Resource Manager at a time."""
SECONDS: Final = 900.0
"""Time limit of the whole reading."""

ROLE_ACTIONS: Final = tuple(
    sorted(
        {action for service in SERVICES for action in service.actions}
        | {
            "Microsoft.ContainerService/managedClusters/agentPools/read",
            "Microsoft.Network/natGateways/read",
            "Microsoft.Network/publicIPAddresses/read",
            "Microsoft.Network/publicIPPrefixes/read",
            "Microsoft.Network/virtualNetworks/subnets/read",
            "Microsoft.ResourceGraph/resources/read",
            "Microsoft.Resources/subscriptions/read",
            "Microsoft.Resources/subscriptions/resources/read",
        }
    )
)
"""What the role of the audit needs (Azure RBAC, permissions of resource providers); headroom/collect/data has it as a
file for `az role definition create`."""

_DENIED: Final = frozenset({401, 403})
_THROTTLED: Final = 429
_NOT_FOUND: Final = 404


NO_CREDENTIALS: Final = "no usable credentials"


def check_credentials(found: object) -> None:
    """Ends the reading where nobody is signed in: nothing else would be found out.

    Raises:
        ProblemsError: There are no credentials.
    """
    if isinstance(found, Unknown) and found.detail == NO_CREDENTIALS:
        step = "Sign in with `az login`, or set AZURE_CLIENT_ID and its companions, as azure-identity finds them."
        problem = Problem(rule="credentials", value="No credentials", reason="for Azure are usable.", next_step=step)
        raise ProblemsError([problem], subject=SUBJECT)


class Pipeline(Protocol):
    """The part of azure-mgmt-core's ARMPipelineClient that is used."""

    def format_url(self, url_template: str) -> str:
        """A path with the endpoint before it."""

    def send_request(self, request: HttpRequest) -> Any:
        """Sends a request, repeated as its policies say."""


@dataclass(slots=True)
class Manager:
    """Azure Resource Manager, and Resource Graph within its quota.

    Attributes:
        pipeline: Sends requests.
        pause: Waits for some seconds.
    """

    pipeline: Pipeline
    pause: Callable[[float], None] = time.sleep
    _resume: float = field(default=0.0)

    def get(self, path: str, api_version: str) -> Object | Unknown | None:
        """What a GET answers; None where there is no such thing."""
        separator = "&" if "?" in path else "?"
        found = self._send(HttpRequest("GET", self.pipeline.format_url(f"{path}{separator}api-version={api_version}")))
        return found[0] if isinstance(found, tuple) else found

    def every(self, path: str, api_version: str) -> tuple[Object, ...] | Unknown | None:
        """Each item of a list, page by page; unknown where a page is missing."""
        found: list[Object] = []
        answer = self.get(path, api_version)
        while True:
            if answer is None or isinstance(answer, Unknown):
                return answer if not found else Unknown(Reason.UNREACHABLE, "a page of the list is missing")
            page = answer.get("value")
            if not isinstance(page, list) or not all(isinstance(item, Mapping) for item in page):
                return Unknown(Reason.UNPARSEABLE, "the answer is no list")
            found += page
            link = answer.get("nextLink")
            if not link:
                return tuple(found)
            sent = self._next(str(link))
            answer = sent[0] if isinstance(sent, tuple) else sent

    def _next(self, link: str) -> "tuple[Object, Mapping[str, str]] | Unknown | None":
        """A next page, which has to be on the same host: the token goes with the request."""
        if urlsplit(link).netloc != urlsplit(self.pipeline.format_url("/")).netloc:
            return Unknown(Reason.UNPARSEABLE, "the next page is on another host")
        return self._send(HttpRequest("GET", link))

    def query(self, subscriptions: Sequence[str], text: str) -> tuple[Object, ...] | Unknown:
        """All rows of a query of Resource Graph."""
        rows: list[Object] = []
        token = ""
        while True:
            options = {"$top": GRAPH_ROWS, "resultFormat": "objectArray", **({"$skipToken": token} if token else {})}
            answer = self._ask({"subscriptions": list(subscriptions), "query": text, "options": options})
            if isinstance(answer, Unknown):
                return answer
            data, token = answer.get("data"), str(answer.get("$skipToken") or "")
            if not isinstance(data, list) or not all(isinstance(item, Mapping) for item in data):
                return Unknown(Reason.UNPARSEABLE, "Resource Graph's answer has no rows")
            rows += data
            if token and data:
                continue
            total = answer.get("totalRecords")
            if str(answer.get("resultTruncated", "false")).casefold() == "true" or total != len(rows):
                return Unknown(Reason.UNREACHABLE, f"Resource Graph gave {len(rows)} of {total} rows")
            return tuple(rows)

    def _ask(self, body: Object) -> Object | Unknown:
        request = partial(HttpRequest, "POST", self.pipeline.format_url(f"{GRAPH_PATH}?api-version={GRAPH_API}"))
        failed: Unknown = Unknown(Reason.THROTTLED, "Resource Graph answered 429")
        for _ in range(GRAPH_TRIES):
            if self._resume:
                self.pause(self._resume)
                self._resume = 0.0
            headers: dict[str, str] = {}
            sent = self._send(request(json=body), headers)
            if headers.get("x-ms-user-quota-remaining", "1").strip() == "0":
                self._resume = _seconds(headers)
            if isinstance(sent, tuple):
                return sent[0]
            failed = sent or Unknown(Reason.UNREACHABLE, "there is no Resource Graph")
            if failed.reason is not Reason.THROTTLED:
                return failed
            self._resume = self._resume or _seconds(headers)
        return failed

    def _send(
        self, request: HttpRequest, headers: dict[str, str] | None = None
    ) -> "tuple[Object, Mapping[str, str]] | Unknown | None":
        try:
            response = self.pipeline.send_request(request)
            found = dict(response.headers)
            if headers is not None:
                headers.update({str(name).casefold(): str(value) for name, value in found.items()})
            if response.status_code == _NOT_FOUND:
                return None
            response.raise_for_status()
            content = response.json()
        except AzureError as error:
            return _unknown(error)
        except ValueError:
            return Unknown(Reason.UNPARSEABLE, "the answer is no JSON")
        if not isinstance(content, Mapping):
            return Unknown(Reason.UNPARSEABLE, "the answer is no object")
        return content, found


def read_lists(
    pipeline: Pipeline,
    subscriptions: Sequence[str] = (),
    *,
    progress: Progress = lambda _: None,
    seconds: float = SECONDS,
    pause: Callable[[float], None] = time.sleep,
) -> Reading:
    """Every resource that has a list of addresses, with its lists.

    Args:
        pipeline: Azure Resource Manager.
        subscriptions: Their ids; empty: all that the caller sees.
        progress: Called with each reading as it ends.
        seconds: Time limit.
        pause: Waits for some seconds, where Resource Graph's quota is used up.

    Raises:
        ProblemsError: There is no subscription to look through.
    """
    manager = Manager(pipeline, pause)
    readings = Readings(seconds=seconds, progress=progress)
    began = time.monotonic()
    seen = readings.start("azure subscriptions", lambda: _subscriptions(manager)).fact()
    check_credentials(seen)
    unseen: list[Named] = []
    wanted = list(dict.fromkeys(each.casefold() for each in subscriptions))
    if isinstance(seen, Unknown):
        unseen.append(Named(type=SUBSCRIPTIONS, place="subscriptions", because=str(seen)))
    else:
        unseen += [
            Named(type=SUBSCRIPTIONS, place=each, because="the caller does not see it")
            for each in wanted
            if each not in seen
        ]
        wanted = wanted or sorted(seen)
    if not wanted:
        raise ProblemsError([_none(seen)], subject=SUBJECT)
    rows = readings.start("azure resource graph", lambda: _rows(manager, wanted))
    listed = readings.start("azure resources", lambda: _listed(manager, wanted))
    found, cross = rows.fact(), listed.fact()
    if isinstance(found, Unknown):
        unseen.append(Named(type=GRAPH, place="Resource Graph", because=str(found)))
    held = _held_against(found, cross, wanted, unseen)
    asked = readings.start("azure lists", lambda: _read(manager, held))
    read = asked.fact()
    if isinstance(read, Unknown):
        unseen.append(Named(type=SUBSCRIPTIONS, place="the lists", because=str(read)))
        read = []
    parents, coverage = _sorted(held, read)
    calls = {
        source.name.removeprefix("azure ").replace(" ", "_"): source.calls
        for source in readings.sources(time.monotonic() - began)
    }
    return Reading(subscriptions=tuple(wanted), parents=parents, coverage=coverage, unseen=tuple(unseen), calls=calls)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    """A resource that Resource Graph, or Azure Resource Manager, or both have.

    Attributes:
        service: Its type.
        id: Its ARM id.
        row: What Resource Graph says; None: it has to be asked for.
        both: Both have it.
    """

    service: Service
    id: str
    row: Object | None
    both: bool


def _subscriptions(manager: Manager) -> frozenset[str] | Unknown:
    found = manager.every("/subscriptions", SUBSCRIPTIONS_API)
    if found is None or isinstance(found, Unknown):
        return found or Unknown(Reason.UNREACHABLE, "there is no list of subscriptions")
    return frozenset(str(each.get("subscriptionId", "")).casefold() for each in found) - {""}


def _columns() -> dict[str, tuple[str, ...]]:
    """Name of a column and its path, for every property that a list needs."""
    paths = sorted({PRIVATE_ENDPOINTS} | {column for service in SERVICES for column in service.columns})
    return {path.replace(".", "_"): tuple(path.split(".")) for path in paths}


def _query() -> str:
    types = ", ".join(f"'{service.type.casefold()}'" for service in SERVICES)
    columns = ", ".join(f"{name} = properties.{'.'.join(path)}" for name, path in _columns().items())
    shown = f"id, name, type, location, tags, sku, {columns}"
    return f"resources | where type in~ ({types}) | project {shown} | order by id asc"


def _rows(manager: Manager, subscriptions: Sequence[str]) -> tuple[Object, ...] | Unknown:
    rows: list[Object] = []
    for batch in batches(subscriptions, GRAPH_SUBSCRIPTIONS):
        found = manager.query(batch, _query())
        if isinstance(found, Unknown):
            return found
        rows += found
    return tuple(_resource(row) for row in rows)


def _resource(row: Object) -> Object:
    """A row as the resource that it was made of."""
    properties: dict[str, Any] = {}
    for name, path in _columns().items():
        if row.get(name) is not None:
            inner = properties
            for part in path[:-1]:
                inner = inner.setdefault(part, {})
            inner[path[-1]] = row[name]
    kept = {name: row.get(name) for name in ("id", "name", "type", "location", "tags", "sku")}
    return {**kept, "properties": properties}


def _listed(manager: Manager, subscriptions: Sequence[str]) -> dict[str, tuple[Object, ...] | Unknown]:
    """Azure Resource Manager's own list of every subscription."""

    def ask(subscription: str) -> tuple[Object, ...] | Unknown:
        found = manager.every(f"/subscriptions/{quote(subscription)}/resources", RESOURCES_API)
        return Unknown(Reason.UNREACHABLE, "there is no such subscription") if found is None else found

    return dict(zip(subscriptions, side_by_side(ask, subscriptions, workers=WORKERS), strict=True))


def _held_against(
    rows: tuple[Object, ...] | Unknown,
    listed: Mapping[str, tuple[Object, ...] | Unknown] | Unknown,
    subscriptions: Iterable[str],
    unseen: list[Named],
) -> list[_Held]:
    """Both lists of resources as one; what a subscription does not show is noted."""
    known = {str(row["id"]).casefold(): row for row in rows} if not isinstance(rows, Unknown) else {}
    others: dict[str, Object] = {}
    full = set()
    for subscription in subscriptions:
        found = listed if isinstance(listed, Unknown) else listed[subscription]
        if isinstance(found, Unknown):
            unseen.append(Named(type=SUBSCRIPTIONS, place=subscription, because=f"its resources: {found}"))
            continue
        full.add(subscription)
        others |= {str(item.get("id", "")).casefold(): item for item in found}
        inside = f"/subscriptions/{subscription}/"
        if not found and not any(each.startswith(inside) for each in known):
            because = "shows no resource at all: it is empty, or the caller may read nothing in it"
            unseen.append(Named(type=SUBSCRIPTIONS, place=subscription, because=because))
    held = []
    for key in dict.fromkeys((*known, *others)):
        item = known.get(key) or others[key]
        service = BY_TYPE.get(str(item.get("type", "")).casefold())
        if service is None:
            continue
        # Where there is no list to hold a row against, the row is what there is; the subscription is noted.
        both = key in known and (key in others or key.split("/")[2] not in full)
        held.append(_Held(service=service, id=str(item["id"]), row=known.get(key) if both else None, both=both))
    return held


def _read(manager: Manager, held: Sequence[_Held]) -> list[Parent | Unknown | None]:
    return side_by_side(partial(_parent, manager), held, workers=WORKERS)


def _parent(manager: Manager, held: _Held) -> Parent | Unknown | None:
    """A resource with its children; None where it has gone meanwhile."""
    service, item = held.service, held.row
    if item is None:
        found = manager.get(held.id, service.api_version)
        if found is None or isinstance(found, Unknown):
            return found
        item = {**found, "id": held.id}
    if not service.children:
        return Parent(item=item)
    path = f"{held.id}/{service.children}"
    children: tuple[Object, ...] | Unknown | None
    if service.single:
        one = manager.get(path, service.version_of_children)
        children = (one,) if one is not None and not isinstance(one, Unknown) else one
    else:
        children = manager.every(path, service.version_of_children)
    if children is None:
        # The resource is gone, or has no such child: only the resource itself can say.
        still = manager.get(held.id, service.api_version)
        return None if still is None else Unknown(Reason.UNREACHABLE, f"{service.children} were not found")
    return children if isinstance(children, Unknown) else Parent(item=item, children=children)


def _sorted(
    held: Sequence[_Held], read: Sequence[Parent | Unknown | None]
) -> tuple[dict[str, tuple[Parent, ...]], tuple[TypeCoverage, ...]]:
    """What was read by type, and how every type was."""
    parents: dict[str, list[Parent]] = defaultdict(list)
    reasons: dict[str, list[Unknown]] = defaultdict(list)
    sources: dict[str, Counter[bool]] = defaultdict(Counter)
    for each, found in zip(held, read or [_LATE] * len(held), strict=True):
        if found is None:
            continue
        sources[each.service.type][each.both] += 1
        if isinstance(found, Unknown):
            reasons[each.service.type].append(found)
            item = {"id": each.id, "location": ""}
            parents[each.service.type].append(Parent(item=item, unread=str(found)))
        else:
            parents[each.service.type].append(found)
    coverage = tuple(
        _coverage(service.type, len(parents[service.type]), reasons[service.type], sources[service.type])
        for service in SERVICES
    )
    return {type_: tuple(found) for type_, found in parents.items()}, coverage


_LATE: Final = Unknown(Reason.UNREACHABLE, "not read within the time limit")


def _coverage(type_: str, found: int, failed: Sequence[Unknown], sources: Mapping[bool, int]) -> TypeCoverage:
    by = Counter(each.reason for each in failed)
    return TypeCoverage(
        type=type_,
        listed_by="resource_graph" if not sources.get(False) else "both" if sources.get(True) else "resource_manager",
        found=found,
        read=found - len(failed),
        denied=by[Reason.DENIED],
        throttled=by[Reason.THROTTLED],
        unread=len(failed) - by[Reason.DENIED] - by[Reason.THROTTLED],
        because=str(failed[0]) if failed else "",
    )


def _unknown(error: AzureError) -> Unknown:
    """Why a call failed; never its whole message, which may name people and policies."""
    if isinstance(error, ClientAuthenticationError) and error.status_code is None:
        return Unknown(Reason.DENIED, NO_CREDENTIALS)
    if isinstance(error, HttpResponseError) and error.status_code is not None:
        code = getattr(error.error, "code", None) or ""
        detail = f"Azure answered {error.status_code} {code}".strip()
        if error.status_code in _DENIED:
            return Unknown(Reason.DENIED, detail)
        return Unknown(Reason.THROTTLED if error.status_code == _THROTTLED else Reason.UNREACHABLE, detail)
    return Unknown(Reason.UNREACHABLE, f"no answer: {type(error).__name__}")


def _seconds(headers: Mapping[str, str]) -> float:
    """How long to wait, as an answer says: x-ms-user-quota-resets-after (hh:mm:ss), or Retry-After."""
    waits = []
    for name, scale in (("retry-after", 1.0), ("x-ms-retry-after-ms", 0.001)):
        try:
            waits.append(float(headers[name]) * scale)
        except (KeyError, ValueError):
            continue
    parts = headers.get("x-ms-user-quota-resets-after", "").split(":")
    if len(parts) == 3 and all(part.isdigit() for part in parts):  # noqa: PLR2004 - hh:mm:ss
        hours, minutes, seconds = (int(part) for part in parts)
        waits.append(float(hours * 3600 + minutes * 60 + seconds))
    return min(LONGEST_PAUSE, max(waits, default=1.0))


def _none(seen: object) -> Problem:
    reason = f"could be read: {seen}." if isinstance(seen, Unknown) else "is seen with these credentials."
    return Problem(
        rule="subscriptions",
        key="--subscription",
        value="No subscription",
        reason=reason,
        next_step="Give --subscription, and a role that reads it: `headroom audit-egress --role` prints one.",
    )
