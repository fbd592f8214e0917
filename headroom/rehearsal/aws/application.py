"""The HTTP side of the simulated AWS: AWS's APIs, a request log, and a back door that AWS does not have.

Back door (JSON in, JSON out), all below `/headroom/`:

- `GET health`
- `GET settings`, `POST settings` with the values to change
- `GET faults`, `POST faults` with one fault, `DELETE faults`
- `GET calls`: how often each action was called, by outcome; `DELETE calls` starts counting anew
- `POST seed`: many instances with their interfaces and addresses at once
- `POST replica`: a whole VPC as a snapshot has it
- `GET daemonset`, `PUT daemonset`: the environment of a simulated cluster's aws-node
- `GET daemonset-version`: the version of the add-on that it was made of last
- `PUT api-server`: where the clusters to come tell that their API server is, and its certificate authority
"""

import io
import json
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

import botocore.session
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from headroom.rehearsal.aws import alarms, clusters, ec2, ec2_actions, events, quotas, replica, seed
from headroom.rehearsal.aws.addons import Addons, AddonsError, LiveEnvironment
from headroom.rehearsal.aws.faults import Failure, Fault, Faults
from headroom.rehearsal.aws.routes import RestRoutes
from headroom.rehearsal.aws.settings import Settings

Environ = dict[str, Any]
StartResponse = Callable[..., Any]

BACK_DOOR = "/headroom/"


class BackDoorError(Exception):
    """A request to the back door that cannot be served."""


class Answer:
    """A response as it was collected: status line, headers, body."""

    def __init__(self, status: str, headers: list[tuple[str, str]], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def code(self) -> str:
        """`OK`, or AWS's error code."""
        if self.status.startswith("2"):
            return "OK"
        for name, value in self.headers:
            if name.lower() == "x-amzn-errortype":
                return value.split(":")[0]
        start = self.body.find(b"<Code>")
        end = self.body.find(b"</Code>")
        if 0 <= start < end:
            return self.body[start + len("<Code>") : end].decode()
        return f"HTTP {self.status.split(' ', 1)[0]}"

    def send(self, start_response: StartResponse) -> Iterable[bytes]:
        """Hand it to the server."""
        kept = [(name, value) for name, value in self.headers if name.lower() != "content-length"]
        start_response(self.status, [*kept, ("Content-Length", str(len(self.body)))])
        return [self.body]


REST_SERVICES = ("eks", "lambda")
"""Services whose actions are told by method and path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """A request to AWS, understood: which service and Region, which action, and what its path says."""

    environ: Environ
    service: str
    region: str
    action: str
    in_path: dict[str, str]
    body: bytes


class Application:
    """The WSGI application; every request to moto's state is served alone."""

    def __init__(
        self, *, settings: Settings, log: TextIO | None = None, environment: LiveEnvironment | None = None
    ) -> None:
        ec2_actions.install(settings)
        clusters.install()
        alarms.install()
        events.install()
        quotas.install(lambda: self._settings)
        self._settings = settings
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._state_lock = threading.RLock()
        self._faults = Faults()
        self._calls: Counter[tuple[str, str]] = Counter()
        self._log = log
        self._log_lock = threading.Lock()
        self._addons = Addons(lambda: self._settings, environment)
        session = botocore.session.get_session()
        self._routes = {name: RestRoutes(session.get_service_model(name)) for name in REST_SERVICES}

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        body = _read_body(environ)
        path = environ.get("PATH_INFO", "/")
        if path.startswith(BACK_DOOR):
            return self._serve_back_door(environ, path.removeprefix(BACK_DOOR), body).send(start_response)
        started = time.time()
        incoming = self._understood(environ, path, body)
        try:
            answer = self._serve(incoming)
        except NotImplementedError as error:
            text = f"The simulated AWS does not have this action or option: {error}"
            answer = _failure_answer(incoming.service, Failure("InvalidAction", text, 400))
        except Exception as error:  # noqa: BLE001  # moto's or our own bug: answer in AWS's form, and say where
            traceback.print_exc()
            text = f"The simulated AWS failed in {incoming.action}: {type(error).__name__}: {error}"
            answer = _failure_answer(incoming.service, Failure("InternalFailure", text, 400))
        self._note(started, incoming, answer)
        return answer.send(start_response)

    def _serve(self, incoming: Incoming) -> Answer:
        failure = self._faults.happen(incoming.action, "before")
        if failure:
            return _failure_answer(incoming.service, failure)
        with self._state_lock:
            if incoming.service == "eks" and self._addons.serves(incoming.action, incoming.in_path):
                answer = self._serve_addons(incoming)
            else:
                answer = _collect(self._moto, incoming.environ)
        failure = self._faults.happen(incoming.action, "after")
        return _failure_answer(incoming.service, failure) if failure else answer

    def _serve_addons(self, incoming: Incoming) -> Answer:
        given = parse_qs(incoming.environ.get("QUERY_STRING", ""))
        query = {key: values[0] if len(values) == 1 else values for key, values in given.items()}
        content = json.loads(incoming.body) if incoming.body.strip() else {}
        parameters = {**query, **content, **incoming.in_path}
        try:
            return _json_answer("200 OK", self._addons.call(incoming.region, incoming.action, parameters))
        except AddonsError as error:
            return _json_error(error.status, error.code, error.message)

    def _understood(self, environ: Environ, path: str, body: bytes) -> Incoming:
        service, region = _scope(environ)
        in_path: dict[str, str] = {}
        target = environ.get("HTTP_X_AMZ_TARGET")
        if target:
            action = str(target).rsplit(".", 1)[-1]
        elif "/operation/" in path:
            action = path.rsplit("/", 1)[-1]
        elif service in self._routes:
            action, in_path = self._routes[service].match(environ["REQUEST_METHOD"], path)
        else:
            text = body.decode("utf-8", errors="replace") or environ.get("QUERY_STRING", "")
            action = parse_qs(text).get("Action", [""])[0] or f"{environ['REQUEST_METHOD']} {path}"
        return Incoming(environ=environ, service=service, region=region, action=action, in_path=in_path, body=body)

    def _note(self, started: float, incoming: Incoming, answer: Answer) -> None:
        code, action = answer.code, incoming.action
        with self._log_lock:
            self._calls[action, code] += 1
            if self._log:
                entry = {
                    "time": started,
                    "service": incoming.service,
                    "action": action,
                    "code": code,
                    "seconds": round(time.time() - started, 4),
                }
                self._log.write(json.dumps(entry) + "\n")
                self._log.flush()

    def _serve_back_door(self, environ: Environ, name: str, body: bytes) -> Answer:
        method = environ["REQUEST_METHOD"]
        try:
            content = json.loads(body) if body.strip() else {}
            return _json_answer("200 OK", self._back_door(method, name, content))
        except (ValueError, KeyError, TypeError, BackDoorError) as error:
            return _json_answer("400 Bad Request", {"error": _reason(error)})
        except ec2.RefusalError as error:
            return _json_answer("409 Conflict", {"error": f"{error.code}: {error.message}"})

    def _back_door(self, method: str, name: str, content: Any) -> Any:
        doors: dict[tuple[str, str], Callable[[Any], Any]] = {
            ("GET", "health"): lambda _: {"healthy": True},
            ("GET", "settings"): lambda _: asdict(self._settings),
            ("POST", "settings"): self._change_settings,
            ("GET", "faults"): lambda _: [asdict(fault) for fault in self._faults.pending()],
            ("POST", "faults"): lambda values: self._faults.order(Fault.parse(values)),
            ("DELETE", "faults"): lambda _: self._faults.clear(),
            ("GET", "calls"): self._show_calls,
            ("DELETE", "calls"): self._forget_calls,
            ("POST", "seed"): self._plant,
            ("POST", "replica"): self._replicate,
            ("GET", "daemonset"): lambda values: self._addons.environment.read(values["cluster"]),
            ("GET", "daemonset-version"): lambda values: self._addons.environment.version(values["cluster"]),
            ("PUT", "daemonset"): lambda values: self._addons.environment.replace(
                values["cluster"], values["environment"]
            ),
            ("PUT", "api-server"): lambda values: clusters.serve_at(values["endpoint"], values["authority"]),
        }
        if (method, name) not in doors:
            raise BackDoorError(f"there is no {method} {BACK_DOOR}{name}")
        return doors[method, name](content)

    def _change_settings(self, content: Any) -> Any:
        self._settings = self._settings.changed(content)
        ec2.RehearsalBackend.settings = self._settings
        return asdict(self._settings)

    def _show_calls(self, content: Any) -> Any:
        del content
        with self._log_lock:
            return [
                {"action": action, "code": code, "count": count}
                for (action, code), count in sorted(self._calls.items())
            ]

    def _forget_calls(self, content: Any) -> Any:
        del content
        with self._log_lock:
            self._calls.clear()

    def _plant(self, content: Any) -> Any:
        with self._state_lock:
            return seed.plant(ec2.backend_of(content.get("region", "us-east-1")), content)

    def _replicate(self, content: Any) -> Any:
        with self._state_lock:
            return replica.replicate(ec2.backend_of(content["region"]), content)


def open_log(path: Path) -> TextIO:
    """A request log to append to."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("a", encoding="utf-8")


def _reason(error: Exception) -> str:
    return f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)


def _read_body(environ: Environ) -> bytes:
    length = int(environ.get("CONTENT_LENGTH") or 0)
    body: bytes = environ["wsgi.input"].read(length) if length else b""
    environ["wsgi.input"] = io.BytesIO(body)
    return body


def _scope(environ: Environ) -> tuple[str, str]:
    """Service and Region out of the signature's credential scope."""
    authorization = environ.get("HTTP_AUTHORIZATION", "")
    _, found, scope = authorization.partition("Credential=")
    parts = scope.split(",")[0].split("/")
    if not found or len(parts) < len(("key", "date", "region", "service", "aws4_request")):
        return "", "us-east-1"
    return parts[3], parts[2]


def _collect(application: Any, environ: Environ) -> Answer:
    collected: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
        del exc_info
        collected[:] = [status, headers]

    body = b"".join(application(environ, start_response))
    return Answer(collected[0], collected[1], body)


def _json_answer(status: str, content: Any) -> Answer:
    return Answer(status, [("Content-Type", "application/json")], json.dumps(content).encode())


def _json_error(status: int, code: str, message: str) -> Answer:
    headers = [("Content-Type", "application/json"), ("x-amzn-ErrorType", code)]
    return Answer(f"{status} {code}", headers, json.dumps({"message": message}).encode())


def _failure_answer(service: str, failure: Failure) -> Answer:
    if service == "eks":
        return _json_error(failure.status, failure.code, failure.message)
    inner = f"<Code>{escape(failure.code)}</Code><Message>{escape(failure.message)}</Message>"
    if service == "ec2":
        text = f"<Response><Errors><Error>{inner}</Error></Errors><RequestID>rehearsal</RequestID></Response>"
    else:
        text = (
            f"<ErrorResponse><Error><Type>Sender</Type>{inner}</Error><RequestId>rehearsal</RequestId></ErrorResponse>"
        )
    return Answer(f"{failure.status} {failure.code}", [("Content-Type", "text/xml")], text.encode())
