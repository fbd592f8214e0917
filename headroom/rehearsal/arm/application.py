"""The HTTP side of the simulated Azure: its APIs, a request log, and a back door that Azure does not have.

Back door (JSON in, JSON out), all below `/headroom/`, without a token:

- `GET health`
- `GET settings`, `POST settings` with the values to change
- `GET clock`, `POST clock` with `{"advance": seconds}`
- `GET faults`, `POST faults` with one fault, `DELETE faults`
- `GET calls`: how often each operation was asked for, by outcome; `DELETE calls` starts counting anew
- `POST subscriptions` with `{"id": …, "name": …}`
- `POST resources` with many whole resources at once, each `{"id": …, …}`, put without a request each
- `GET resources`: every id
- `POST logs` with an answer to log queries (see `monitor.LogAnswer`), `DELETE logs`
- `POST metrics` with points of a metric (see `monitor.Series`), `DELETE metrics`
- `POST usages` with `{"subscription", "location", "namespace", "usages"}`: quotas
- `POST sizes` with a VM size as `Microsoft.Compute/skus` has it
- `POST taken` with `{"subnet", "addresses"}`: addresses that others hold
- `POST activity` with an entry of the activity log
- `POST cluster` with `{"id", "kubeconfig", "custom_ip_masq"}`: what Azure does not show of a cluster
- `POST split` with `{"group", "latencies", "healthy"}`: what the edges of a Front Door do now
"""

import json
import re
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final, TextIO
from urllib.parse import parse_qs, quote, unquote

from headroom.rehearsal.arm import activity, changes, clusters, frontdoor, graph, kinds, monitor, network
from headroom.rehearsal.arm.errors import ArmError, denied, throttled
from headroom.rehearsal.arm.faults import Fault, Faults
from headroom.rehearsal.arm.ids import GROUP_TYPE, SUBSCRIPTION_TYPE, Path, key_of
from headroom.rehearsal.arm.settings import SUBSCRIPTION, TENANT, Settings
from headroom.rehearsal.arm.world import Body, Operation, Record, World
from headroom.rehearsal.clock import Clock

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Headers = dict[str, str]

BACK_DOOR: Final = "/headroom/"
EVERY_RESOURCE: Final = "LIST Microsoft.Resources/resources"
"""The operation of the list of all resources of a subscription."""

_REASONS: Final = {200: "OK", 201: "Created", 202: "Accepted", 204: "No Content"}
_VERBS: Final = {"GET": "read", "LIST": "read", "PUT": "write", "PATCH": "write", "DELETE": "delete", "POST": "action"}


class BackDoorError(Exception):
    """A request to the back door that cannot be served."""


class CutError(Exception):
    """The connection shall end in the middle of the answer."""


class Answer:
    """A response."""

    def __init__(self, status: int, content: Any = None, headers: Headers | None = None) -> None:
        self.status = status
        self.body = b"" if content is None else json.dumps(content).encode()
        self.headers = headers or {}
        self.code = "OK"

    def send(self, start_response: StartResponse, *, cut: bool = False) -> Iterable[bytes]:
        """Hand it to the server; cut short, it has fewer bytes than it says."""
        headers = {"Content-Length": str(len(self.body)), **self.headers}
        if self.body:
            headers["Content-Type"] = "application/json; charset=utf-8"
        if cut:
            headers["Connection"] = "close"
        start_response(f"{self.status} {_REASONS.get(self.status, 'Error')}", list(headers.items()))
        if not cut:
            return [self.body]
        return _cut(self.body)


def _cut(body: bytes) -> Iterable[bytes]:
    yield body[: len(body) // 2]
    raise CutError


class Application:
    """The WSGI application; every request is served alone."""

    def __init__(self, *, settings: Settings, log: TextIO | None = None) -> None:
        self._settings = settings
        self._clock = Clock(datetime.fromtimestamp(settings.start, UTC), settings.speed)
        self._clock.run()
        self._world = World(settings, self._clock)
        self._world.subscriptions[SUBSCRIPTION] = "rehearsal"
        self._kinds: changes.Kinds = {
            kind.type.casefold(): kind
            for kind in (
                *(kinds.Plain(type_) for type_ in kinds.PLAIN),
                kinds.ResourceGroup(),
                kinds.RoleAssignment(),
                kinds.UserAssignedIdentity(),
                *network.KINDS,
                *clusters.KINDS,
                *frontdoor.KINDS,
            )
        }
        self.sizes: list[Body] = []
        self._monitor = monitor.Monitor()
        self._quota = graph.Quota()
        self._faults = Faults()
        self._calls: Counter[tuple[str, str]] = Counter()
        self._log = log
        self._lock = threading.RLock()
        self._log_lock = threading.Lock()
        self._requests = 0

    def now(self) -> float:
        """Simulated seconds since the epoch."""
        return self._clock.now()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body: bytes = environ["wsgi.input"].read(length) if length else b""
        path = unquote(str(environ.get("PATH_INFO", "/")))
        if path.startswith(BACK_DOOR):
            return self._serve_back_door(environ, path.removeprefix(BACK_DOOR), body).send(start_response)
        started = time.time()
        request = Request(environ, path, body)
        faults = self._faults.happen(request.operation, path, "before")
        cut = False
        try:
            answer = self._serve(request, faults)
            after = self._faults.happen(request.operation, path, "after")
            answer = _failed(after, request, self._settings) or answer
            cut = any(fault.effect == "cut" for fault in (*faults, *after))
        except ArmError as error:
            answer = _error_answer(error)
        except Exception as error:  # noqa: BLE001  # our own bug: answer in Azure's form, and say where
            traceback.print_exc()
            text = f"The simulated Azure failed in {request.operation}: {type(error).__name__}: {error}"
            answer = _error_answer(ArmError(400, "InternalFailure", text))
        self._note(started, request, answer, cut=cut)
        return answer.send(start_response, cut=cut)

    def _serve(self, request: "Request", faults: list[Fault]) -> Answer:
        failed = _failed(faults, request, self._settings)
        if failed is not None:
            return failed
        request.judge()
        request.empty = any(fault.effect == "empty" for fault in faults)
        later = next((fault for fault in faults if fault.effect == "fail-later"), None)
        request.later = ArmError(400, later.code, later.message) if later else None
        with self._lock:
            changes.settle(self._world, self._kinds)
            try:
                return self._dispatch(request)
            except ArmError as error:
                activity.note_failure(self._world, request.method, request.where, error)
                raise

    # --- Azure --------------------------------------------------------------------------------------------

    def _dispatch(self, request: "Request") -> Answer:
        special = self._special(request)
        if special is not None:
            return special(request)
        where = request.where
        if where.types and where.types[-1].casefold() == "usages":
            return self._usages(request, where)
        if where.is_resource:
            return self._resource(request, where)
        if request.method == "POST":
            return self._action(request)
        if request.method == "GET":
            return self._list(request, where)
        raise ArmError(405, "MethodNotAllowed", f"{request.method} is not allowed for {request.path}.")

    def _special(self, request: "Request") -> Callable[["Request"], Answer] | None:
        """What is no resource of Azure Resource Manager."""
        lower = request.path.casefold()
        starts: dict[str, Callable[[Request], Answer]] = {
            "/operations/": self._operation_status,
            "/v1/": self._logs,
        }
        ends: dict[str, Callable[[Request], Answer]] = {
            "/providers/microsoft.resourcegraph/resources": self._graph,
            "/metrics:getbatch": self._metrics_batch,
            "/providers/microsoft.insights/metrics": self._metrics,
            "/providers/microsoft.compute/skus": self._skus,
            "/providers/microsoft.insights/eventtypes/management/values": self._activity,
        }
        if lower == "/subscriptions":
            return self._subscriptions
        if request.operation == EVERY_RESOURCE:
            return self._every_resource
        for words, found in starts.items():
            if lower.startswith(words):
                return found
        return next((found for words, found in ends.items() if lower.endswith(words)), None)

    def _subscriptions(self, request: "Request") -> Answer:
        listed = [] if request.empty else list(self._world.subscriptions.items())
        return Answer(200, {"value": [_subscription(*item) for item in listed]})

    def _activity(self, request: "Request") -> Answer:
        found = activity.entries(self._world, request.value("$filter"))
        return Answer(200, {"value": [] if request.empty else found})

    def _skus(self, request: "Request") -> Answer:
        """The VM sizes that a scenario named, and those of the pools that are there."""
        wanted = re.search(r"location\s+eq\s+'([^']+)'", request.value("$filter"), re.IGNORECASE)
        location = kinds.place(wanted[1]) if wanted else ""
        found = clusters.sizes(self._world, self.sizes, request.where.subscription, location)
        return Answer(200, {"value": [] if request.empty else found})

    def _resource(self, request: "Request", path: Path) -> Answer:
        world = self._world
        if path.type == SUBSCRIPTION_TYPE:
            if path.subscription not in world.subscriptions:
                text = f"The subscription '{path.subscription}' could not be found."
                raise ArmError(404, "SubscriptionNotFound", text)
            return Answer(200, _subscription(path.subscription, world.subscriptions[path.subscription]))
        if request.method in {"GET", "HEAD"}:
            changes.kind_of(self._kinds, path)
            record = world.find(path.text)
            if record is None:
                raise changes.missing(world, path)
            return Answer(200, self._shown(record))
        if request.method == "PUT":
            record, operation, new = changes.put(
                world,
                self._kinds,
                path,
                request.json(),
                api_version=request.api_version,
                if_match=request.if_match,
                later=request.later,
            )
            return Answer(201 if new else 200, self._shown(record), self._operation_headers(request, operation))
        if request.method == "PATCH":
            return Answer(200, self._shown(changes.patch(world, self._kinds, path, request.json())))
        if request.method == "DELETE":
            operation, found = changes.delete(world, self._kinds, path, if_match=request.if_match, later=request.later)
            if operation is None:
                return Answer(200 if found else 204)
            headers = self._operation_headers(request, operation)
            headers["Location"] = headers["Azure-AsyncOperation"]
            return Answer(202, None, headers)
        raise ArmError(405, "MethodNotAllowed", f"{request.method} is not allowed for {request.path}.")

    def _shown(self, record: Record) -> Body:
        return changes.shown(self._world, self._kinds, record)

    def _operation_headers(self, request: "Request", operation: Operation | None) -> Headers:
        if operation is None:
            return {}
        url = f"{request.base}/operations/{operation.name}?api-version={request.api_version}"
        return {"Azure-AsyncOperation": url, **_wait_headers(self._settings.poll_milliseconds / 1000)}

    def _operation_status(self, request: "Request") -> Answer:
        operation = self._world.operations.get(request.path.split("/")[2])
        if operation is None:
            raise ArmError(404, "NotFound", f"There is no operation {request.path}.")
        content: dict[str, Any] = {
            "name": operation.name,
            "status": "InProgress" if not operation.done else operation.status,
            "startTime": monitor.text_of(operation.begun),
        }
        if operation.done:
            content["endTime"] = monitor.text_of(operation.ends)
            if operation.error:
                content["error"] = operation.error.inner()
            return Answer(200, content)
        return Answer(200, content, _wait_headers(self._settings.poll_milliseconds / 1000))

    def _list(self, request: "Request", path: Path) -> Answer:
        world = self._world
        if path.types and path.types[0].casefold() == "resourcegroups":
            found = [record for record in world.of_type(GROUP_TYPE) if record.path.subscription == path.subscription]
        else:
            kind = changes.kind_of(self._kinds, path)
            found = self._in_list(path, kind.type)
        return self._page(request, [] if request.empty else [self._shown(record) for record in found])

    def _every_resource(self, request: "Request") -> Answer:
        """Every resource of a subscription, without its properties (Azure REST API, Resources - List)."""
        world = self._world
        found = [
            {"id": record.path.text, "name": record.path.name, "type": record.path.type}
            for record in world.records.values()
            if record.path.subscription == request.where.subscription and graph.in_table(record, "resources")
        ]
        return self._page(request, [] if request.empty else found)

    def _page(self, request: "Request", items: list[Body]) -> Answer:
        first = int(request.query.get("$skiptoken", ["0"])[0])
        size = self._settings.page_size
        content: dict[str, Any] = {"value": items[first : first + size]}
        if first + size < len(items):
            kept = "&".join(
                f"{quote(name)}={quote(value)}"
                for name, values in request.query.items()
                for value in values
                if name != "$skiptoken"
            )
            content["nextLink"] = f"{request.base}{quote(request.path)}?{kept}&%24skiptoken={first + size}"
        return Answer(200, content)

    def _in_list(self, path: Path, type_: str) -> list[Record]:
        world = self._world
        if path.scope:
            above = key_of(path.scope)
            return [
                record
                for record in world.of_type(type_)
                if (key := key_of(record.path.scope)) == above
                or key.startswith(f"{above}/")
                or above.startswith(f"{key}/")
            ]
        if path.names:
            parent = path.text.rsplit("/", 1)[0]
            if world.find(parent) is None:
                raise changes.missing(world, Path.parse(parent))
            return list(world.below(parent, type_))
        if path.group:
            if world.group_of(path) is None:
                raise changes.missing(world, path)
            group = key_of(f"/subscriptions/{path.subscription}/resourceGroups/{path.group}")
            return list(world.below(group, type_))
        return [record for record in world.of_type(type_) if record.path.subscription == path.subscription]

    def _action(self, request: "Request") -> Answer:
        resource, _, name = request.path.rpartition("/")
        path = Path.parse(resource)
        record = self._world.find(resource)
        kind = changes.kind_of(self._kinds, path)
        if record is None:
            raise changes.missing(self._world, path)
        found = kind.action(self._world, record, name, request.json())
        if name.casefold() not in kind.slow_actions:
            return Answer(200, found)
        operation = self._world.begin(path, "update", kind.seconds(self._world))
        headers = self._operation_headers(request, operation)
        return Answer(202, None, {**headers, "Location": headers["Azure-AsyncOperation"]})

    def _usages(self, request: "Request", path: Path) -> Answer:
        world = self._world
        if path.type.casefold() == f"{network.VNETS}/usages".casefold():
            parent = path.text.rsplit("/", 1)[0]
            if world.find(parent) is None:
                raise changes.missing(world, Path.parse(parent))
            found = [network.usage_of(world, subnet) for subnet in world.below(parent, network.SUBNETS)]
            return Answer(200, {"value": [] if request.empty else found})
        location = kinds.place(path.names[0]) if path.names else ""
        listed = world.usages.get((f"{path.subscription}/{location}", path.namespace.casefold()), [])
        values = [dict(item) for item in listed]
        for item in values:
            if path.namespace.casefold() == "microsoft.compute" and item["name"]["value"] == "cores":
                item["currentValue"] += clusters.cores_in_use(world, path.subscription, location)
        return Answer(200, {"value": [] if request.empty else values})

    def _graph(self, request: "Request") -> Answer:
        try:
            left, resets = self._quota.take(self._settings)
        except ArmError as error:
            answer = _error_answer(error)
            answer.headers |= graph.headers_of(0, error.retry_after or 0.0)
            return answer
        content = graph.answer(self._world, self._shown, request.json())
        if request.empty:
            content |= {"totalRecords": 0, "count": 0, "data": [], "resultTruncated": "false"}
            content.pop("$skipToken", None)
        return Answer(200, content, graph.headers_of(left, resets))

    def _logs(self, request: "Request") -> Answer:
        inside = request.path[len("/v1/") : -len("/query")]
        workspace = inside.removeprefix("workspaces/") if inside.startswith("workspaces/") else f"/{inside}"
        return Answer(200, self._monitor.query(workspace, request.json(), self._world.now(), empty=request.empty))

    def _metrics_batch(self, request: "Request") -> Answer:
        resources = list(request.json().get("resourceids") or [])
        values = []
        for resource in resources:
            asked = self._asked(request)
            values.append(
                {
                    "starttime": monitor.text_of(asked["start"]),
                    "endtime": monitor.text_of(asked["end"]),
                    "interval": asked["interval"],
                    "namespace": request.value("metricnamespace"),
                    "resourceregion": "global",
                    "resourceid": resource,
                    "value": self._metric_values(request, str(resource), asked),
                }
            )
        return Answer(200, {"values": values})

    def _metrics(self, request: "Request") -> Answer:
        resource = request.path[: request.path.casefold().index("/providers/microsoft.insights/metrics")]
        asked = self._asked(request)
        content = {
            "cost": 0,
            "timespan": f"{monitor.text_of(asked['start'])}/{monitor.text_of(asked['end'])}",
            "interval": asked["interval"],
            "namespace": request.value("metricnamespace"),
            "resourceregion": "global",
            "value": self._metric_values(request, resource, asked),
        }
        return Answer(200, content)

    def _asked(self, request: "Request") -> dict[str, Any]:
        now = self._world.now()
        start_text, end_text = request.value("starttime"), request.value("endtime")
        start, end = now - monitor.DEFAULT_SPAN_SECONDS, now
        if request.value("timespan"):
            start, end = monitor.span(request.value("timespan"), now)
        elif start_text:
            start, end = monitor.moment(start_text), monitor.moment(end_text) if end_text else now
        return {"start": start, "end": end, "interval": request.value("interval") or monitor.DEFAULT_INTERVAL}

    def _metric_values(self, request: "Request", resource: str, asked: Mapping[str, Any]) -> list[dict[str, Any]]:
        names = [name for name in request.value("metricnames").split(",") if name]
        found = self._monitor.metrics(
            resource,
            names,
            start=asked["start"],
            end=asked["end"],
            interval=asked["interval"],
            aggregations=[name.strip().lower() for name in (request.value("aggregation") or "average").split(",")],
            filter_=request.value("filter") or request.value("$filter"),
            now=self._world.now(),
        )
        return [{**item, "timeseries": []} for item in found] if request.empty else found

    # --- log ----------------------------------------------------------------------------------------------

    def _note(self, started: float, request: "Request", answer: Answer, *, cut: bool) -> None:
        code = "cut" if cut else answer.code
        with self._log_lock:
            self._requests += 1
            self._calls[request.operation, code] += 1
            if self._log:
                entry = {
                    "time": started,
                    "operation": request.operation,
                    "path": request.path,
                    "status": answer.status,
                    "code": code,
                    "seconds": round(time.time() - started, 4),
                }
                self._log.write(json.dumps(entry) + "\n")
                self._log.flush()

    # --- back door ----------------------------------------------------------------------------------------

    def _serve_back_door(self, environ: Environ, name: str, body: bytes) -> Answer:
        try:
            content = json.loads(body) if body.strip() else {}
            with self._lock:
                changes.settle(self._world, self._kinds)
                return Answer(200, self._back_door(environ["REQUEST_METHOD"], name, content))
        except (ValueError, KeyError, TypeError, BackDoorError) as error:
            reason = f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
            return Answer(400, {"error": reason})
        except ArmError as error:
            return Answer(409, {"error": str(error)})

    def _back_door(self, method: str, name: str, content: Any) -> Any:
        doors: dict[tuple[str, str], Callable[[Any], Any]] = {
            ("GET", "health"): lambda _: {"healthy": True},
            ("GET", "settings"): lambda _: asdict(self._settings),
            ("POST", "settings"): self._change_settings,
            ("GET", "clock"): lambda _: {"now": self._world.now()},
            ("POST", "clock"): self._advance,
            ("GET", "faults"): lambda _: [asdict(fault) for fault in self._faults.pending()],
            ("POST", "faults"): lambda values: self._faults.order(Fault.parse(values)),
            ("DELETE", "faults"): lambda _: self._faults.clear(),
            ("GET", "calls"): self._show_calls,
            ("DELETE", "calls"): self._forget_calls,
            ("POST", "subscriptions"): self._add_subscription,
            ("GET", "resources"): lambda _: [record.path.text for record in self._world.records.values()],
            ("POST", "resources"): self._add_resources,
            ("POST", "logs"): self._add_log,
            ("DELETE", "logs"): lambda _: self._monitor.answers.clear(),
            ("POST", "metrics"): self._monitor.write,
            ("DELETE", "metrics"): lambda _: self._monitor.series.clear(),
            ("POST", "usages"): self._add_usages,
            ("POST", "sizes"): self.sizes.append,
            ("POST", "taken"): self._take,
            ("POST", "activity"): self._world.activity.append,
            ("POST", "cluster"): self._change_cluster,
            ("POST", "split"): self._split,
        }
        if (method, name) not in doors:
            raise BackDoorError(f"there is no {method} {BACK_DOOR}{name}")
        return doors[method, name](content)

    def _change_settings(self, content: Any) -> Any:
        if set(content) & {"start", "speed"}:
            raise BackDoorError("start and speed are set when it starts; POST clock moves the time")
        self._settings = self._settings.changed(content)
        self._world.settings = self._settings
        return asdict(self._settings)

    def _advance(self, content: Any) -> Any:
        seconds = float(content["advance"])
        if seconds < 0:
            raise BackDoorError("time does not go back")
        self._clock.advance(seconds)
        changes.settle(self._world, self._kinds)
        return {"now": self._world.now()}

    def _show_calls(self, content: Any) -> Any:
        del content
        with self._log_lock:
            return [
                {"operation": operation, "code": code, "count": count}
                for (operation, code), count in sorted(self._calls.items())
            ]

    def _forget_calls(self, content: Any) -> Any:
        del content
        with self._log_lock:
            self._calls.clear()

    def _add_subscription(self, content: Any) -> Any:
        self._world.subscriptions[str(content["id"])] = str(content.get("name") or content["id"])

    def _add_resources(self, content: Any) -> Any:
        made = []
        for item in content["resources"]:
            path = Path.parse(item["id"])
            self._world.subscriptions.setdefault(path.subscription, path.subscription)
            group = f"/subscriptions/{path.subscription}/resourceGroups/{path.group}"
            if path.namespace and path.group and self._world.find(group) is None:
                place = {"location": item.get("location") or "eastus"}
                changes.put(self._world, self._kinds, Path.parse(group), place, api_version="")
            record, operation, _ = changes.put(
                self._world, self._kinds, path, item, api_version=str(content.get("api_version") or "2024-05-01")
            )
            if operation is not None:
                operation.ends = operation.begun
                changes.settle(self._world, self._kinds)
                if operation.error is not None:
                    raise operation.error
            made.append(record.path.text)
        return made

    def _add_log(self, content: Any) -> Any:
        answer = monitor.LogAnswer.parse(content)
        self._monitor.answers[answer.name] = answer

    def _add_usages(self, content: Any) -> Any:
        key = (f"{content['subscription']}/{kinds.place(content['location'])}", str(content["namespace"]).casefold())
        self._world.usages[key] = list(content["usages"])

    def _take(self, content: Any) -> Any:
        if self._world.find(content["subnet"]) is None:
            raise BackDoorError(f"there is no subnet {content['subnet']}")
        self._world.taken[key_of(content["subnet"])] = int(content["addresses"])

    def _change_cluster(self, content: Any) -> Any:
        record = self._world.find(content["id"])
        if record is None:
            raise BackDoorError(f"there is no cluster {content['id']}")
        record.hidden |= {name: value for name, value in content.items() if name != "id"}

    def _split(self, content: Any) -> Any:
        found = frontdoor.split(
            self._world,
            content["group"],
            latencies=content.get("latencies"),
            healthy=content.get("healthy"),
        )
        profile = Path.parse(content["group"]).within
        return {
            "shares": {name: float(share) for name, share in found.items()},
            "settledAt": frontdoor.settled_at(self._world, profile),
            "now": self._world.now(),
        }


class Request:
    """A request to Azure, understood."""

    def __init__(self, environ: Environ, path: str, body: bytes) -> None:
        self.method = str(environ["REQUEST_METHOD"])
        self.path = "/" + path.strip("/")
        self.body = body
        self.query = parse_qs(str(environ.get("QUERY_STRING", "")))
        self.token = str(environ.get("HTTP_AUTHORIZATION", ""))
        self.if_match = str(environ.get("HTTP_IF_MATCH", ""))
        self.base = f"https://{environ.get('HTTP_HOST', '')}"
        self.empty = False
        self.later: ArmError | None = None
        self.where = Path.parse(self.path)
        self.operation = self._operation()

    @property
    def api_version(self) -> str:
        """The API version that it asks for."""
        return self.value("api-version")

    def value(self, name: str) -> str:
        """A query parameter; empty where it is not given."""
        return self.query.get(name, [""])[0]

    def json(self) -> Body:
        """The body.

        Raises:
            ArmError: It is no JSON object.
        """
        try:
            content = json.loads(self.body) if self.body.strip() else {}
        except ValueError as error:
            raise ArmError(400, "InvalidRequestContent", changes.NO_BODY) from error
        if not isinstance(content, dict):
            raise ArmError(400, "InvalidRequestContent", changes.NO_BODY)
        return content

    def judge(self) -> None:
        """Judges token and API version.

        Raises:
            ArmError: One of them is missing.
        """
        scheme, _, token = self.token.partition(" ")
        if scheme.casefold() != "bearer" or not token:
            text = "Authentication failed. The 'Authorization' header is missing."
            raise ArmError(401, "AuthenticationFailed", text)
        if token == EXPIRED_TOKEN:
            text = "The access token expiry UTC time is earlier than current UTC time."
            raise ArmError(401, "ExpiredAuthenticationToken", text)
        if not self.path.startswith(("/v1/", "/operations/")) and not self.api_version:
            raise ArmError(
                400,
                "MissingApiVersionParameter",
                "The api-version query parameter (?api-version=) is required for all requests.",
            )

    def _operation(self) -> str:
        lower = self.path.casefold()
        if lower.startswith("/v1/"):
            return "POST logs"
        if lower.endswith(("/metrics:getbatch", "/providers/microsoft.insights/metrics")):
            return f"{self.method} metrics"
        if lower.startswith("/operations/"):
            return "GET operations"
        where = self.where
        if self.method == "GET" and not where.namespace and [word.casefold() for word in where.types] == ["resources"]:
            return EVERY_RESOURCE
        if self.method == "GET" and not where.is_resource:
            return f"LIST {where.type}"
        return f"{self.method} {where.type}"


EXPIRED_TOKEN: Final = "expired"  # noqa: S105  # no secret
"""A token that the simulated Azure takes for one that has expired."""


def _failed(faults: list[Fault], request: Request, settings: Settings) -> Answer | None:
    """The answer that ordered faults make of it, if they do."""
    for fault in faults:
        if fault.effect == "deny":
            action = f"{request.where.type}/{_VERBS.get(request.operation.partition(' ')[0], 'action')}"
            return _error_answer(denied(action, request.path))
        if fault.effect == "throttle":
            kind = "read" if request.method == "GET" else "write"
            return _error_answer(throttled(kind, request.where.subscription, fault.seconds or settings.retry_seconds))
        if fault.effect == "fail":
            return _error_answer(ArmError(fault.status, fault.code, fault.message))
    return None


def _wait_headers(seconds: float) -> Headers:
    """When to come again: whole seconds as Azure has them, less than one in the SDKs' own header."""
    if seconds >= 1:
        return {"Retry-After": str(round(seconds))}
    return {"x-ms-retry-after-ms": str(max(1, round(seconds * 1000)))}


def _error_answer(error: ArmError) -> Answer:
    headers = _wait_headers(error.retry_after) if error.retry_after is not None else {}
    answer = Answer(error.status, error.body(), headers)
    answer.code = error.code
    return answer


def _subscription(identifier: str, name: str) -> Body:
    return {
        "id": f"/subscriptions/{identifier}",
        "subscriptionId": identifier,
        "displayName": name,
        "tenantId": TENANT,
        "state": "Enabled",
    }
