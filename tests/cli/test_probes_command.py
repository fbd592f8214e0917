"""`headroom probes` against an API server in this process, whose pods a simulated kubelet ends."""

from __future__ import annotations

import importlib
import json
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import yaml
from click.testing import CliRunner, Result

import headroom.collect.probe_jobs as running
from headroom.addresses.problems import ProblemsError
from headroom.cli.probes import probes
from headroom.collect.bundle import read_bundle
from headroom.collect.permissions import permissions
from headroom.facts.document import dump
from headroom.planning.probe_record import ProbeRecord, first_step_problems, read_record
from headroom.rehearsal.kube import Kube, kube_from
from headroom.rehearsal.policy_engine import run_probe_jobs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Object = dict[str, Any]
LISTS = {
    "/api/v1/namespaces": "Namespace",
    "/api/v1/pods": "Pod",
    "/apis/batch/v1/jobs": "Job",
    "/apis/networking.k8s.io/v1/networkpolicies": "NetworkPolicy",
}


@dataclass
class Api:
    """An API server that keeps objects, with a Job controller that makes a Job's pod at once.

    Attributes:
        objects: Objects by kind.
        refused: HTTP methods that are answered 403.
        calls: Method and path of each request.
        host: Where it listens.
    """

    objects: dict[str, list[Object]] = field(default_factory=lambda: {kind: [] for kind in LISTS.values()})
    refused: set[tuple[str, str]] = field(default_factory=set)
    calls: list[tuple[str, str]] = field(default_factory=list)
    host: str = ""

    def add(self, text: str) -> None:
        for each in yaml.safe_load_all(text):
            self.objects[each["kind"]].append(each)

    def answer(self, method: str, path: str, query: dict[str, str], body: Object) -> tuple[int, Object]:
        self.calls.append((method, path))
        words = path.strip("/").split("/")
        namespace = words[words.index("namespaces") + 1] if "namespaces" in words[:-1] else ""
        kind = "Pod" if "pods" in words else "Job" if "jobs" in words else LISTS.get(path, "")
        if (method, kind) in self.refused:
            return 403, {"kind": "Status", "reason": "Forbidden", "code": 403, "message": "no"}
        if method == "POST":
            self.objects["Job"].append(body)
            self.objects["Pod"].append(pod_of(body))
            return 201, body
        if method == "DELETE":
            for each in ("Job", "Pod"):
                self.objects[each] = [item for item in self.objects[each] if not picked(item, namespace, query)]
            return 200, {"kind": "Status", "status": "Success"}
        if method == "PATCH":
            (found,) = [
                each for each in self.objects["Pod"] if each["metadata"]["name"] == words[words.index("pods") + 1]
            ]
            found["status"] = {**found["status"], **body["status"]}
            return 200, found
        items = [item for item in self.objects[kind] if picked(item, namespace, query)]
        return 200, {"kind": f"{kind}List", "metadata": {"resourceVersion": "1"}, "items": items}


def picked(item: Object, namespace: str, query: dict[str, str]) -> bool:
    key, equals, value = query.get("labelSelector", "").partition("=")
    labels = item["metadata"].get("labels") or {}
    selected = labels.get(key) == value if equals else not key or key in labels
    return selected and (not namespace or item["metadata"]["namespace"] == namespace)


def pod_of(job: Object) -> Object:
    metadata, template = job["metadata"], job["spec"]["template"]
    labels = {**template["metadata"]["labels"], "batch.kubernetes.io/job-name": metadata["name"]}
    return {
        "kind": "Pod",
        "metadata": {"name": f"{metadata['name']}-x", "namespace": metadata["namespace"], "labels": labels},
        "spec": template["spec"],
        "status": {"phase": "Pending"},
    }


def pod(namespace: str, name: str, ip: str, label: str, port: int) -> str:
    key, _, value = label.partition("=")
    return f"""
kind: Pod
metadata: {{namespace: {namespace}, name: {name}, labels: {{{key}: {value}}}}}
spec:
  nodeName: aks-1
  containers:
    - {{name: c, image: i, ports: [{{containerPort: {port}}}], readinessProbe: {{tcpSocket: {{port: {port}}}}}}}
status: {{phase: Running, podIP: {ip}, conditions: [{{type: Ready, status: "True"}}]}}
"""


POLICIES = """
kind: NetworkPolicy
metadata: {namespace: prod, name: default-deny-all}
spec: {podSelector: {}, policyTypes: [Ingress, Egress]}
---
kind: NetworkPolicy
metadata: {namespace: prod, name: allow-checkout-from-ingress}
spec:
  podSelector: {matchLabels: {app: checkout-api}}
  policyTypes: [Ingress]
  ingress:
    - from:
        - namespaceSelector: {matchLabels: {name: ingress-nginx}}
          podSelector: {matchLabels: {app.kubernetes.io/name: ingress-nginx}}
      ports: [{protocol: TCP, port: 8080}]
"""
OPEN = """
kind: NetworkPolicy
metadata: {namespace: prod, name: open}
spec: {podSelector: {}, ingress: [{}], egress: [{}], policyTypes: [Ingress, Egress]}
"""
PODS = "---".join(
    [
        pod("prod", "checkout-1", "100.64.1.47", "app=checkout-api", 8080),
        pod("ingress-nginx", "nginx-1", "100.64.1.49", "app.kubernetes.io/name=ingress-nginx", 80),
        pod("default", "debug-1", "100.64.1.50", "run=debug", 7000),
    ]
)
PLACES = "---".join(
    f"\nkind: Namespace\nmetadata: {{name: {name}, labels: {{name: {name}}}}}\n"
    for name in ("prod", "ingress-nginx", "default")
)


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """A cluster with the policies of the story, behind the context `overlay`."""
    api = Api()
    for text in (POLICIES, PODS, PLACES):
        api.add(text)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def serve(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
            parts = urlsplit(self.path)
            status, said = api.answer(self.command, parts.path, dict(parse_qsl(parts.query)), body)
            data = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_DELETE = do_PATCH = serve  # noqa: N815 - what the base class calls

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    api.host = f"http://127.0.0.1:{server.server_port}"
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": api.host}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "overlay", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "overlay",
    }
    file = tmp_path / "kubeconfig"
    file.write_text(yaml.safe_dump(kubeconfig), encoding="utf-8")
    for module in ("headroom.collect.session", "kubernetes.config.kube_config"):  # they read KUBECONFIG at import
        monkeypatch.setattr(f"{module}.KUBE_CONFIG_DEFAULT_LOCATION", str(file))
    monkeypatch.setattr(running, "EVERY_SECONDS", 0.02)
    yield api
    server.shutdown()
    server.server_close()
    thread.join()


@dataclass
class Kubelet:
    """Ends probe pods in a thread of its own."""

    kube: Kube
    engine_on: bool = True
    stop: threading.Event = field(default_factory=threading.Event)

    def work(self) -> None:
        while not self.stop.wait(0.02):
            run_probe_jobs(self.kube, engine_on=self.engine_on)


@pytest.fixture
def kubelet(api: Api, tmp_path: Path) -> Iterator[Kubelet]:
    """A running kubelet; its engine is on."""
    assert api.host
    made = Kubelet(kube_from(tmp_path / "kubeconfig"))
    thread = threading.Thread(target=made.work)
    thread.start()
    yield made
    made.stop.set()
    thread.join()
    made.kube.close()


def run(*words: str) -> Result:
    return CliRunner().invoke(probes, list(words))


def verdicts(result: Result) -> dict[str, str]:
    return {each["policy"]: each["verdict"] for each in json.loads(result.stdout)["policies"]}


def snapshot(api: Api, tmp_path: Path) -> Path:
    """The cluster as `headroom collect` would have written it, by way of a bundle."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    for kind in ("Namespace", "Pod", "NetworkPolicy"):
        (folder / f"{kind}.json").write_text(json.dumps({"kind": "List", "items": api.objects[kind]}), encoding="utf-8")
    file = tmp_path / "facts.json"
    file.write_text(dump(read_bundle(folder)), encoding="utf-8")
    return file


# Running


@pytest.mark.usefixtures("kubelet")
def test_a_run_proves_each_policy_and_leaves_nothing_behind(api: Api) -> None:
    found = run("--context", "overlay", "--run", "--json")
    assert found.exit_code == 0, found.output
    assert verdicts(found) == {"prod/allow-checkout-from-ingress": "enforced", "prod/default-deny-all": "enforced"}
    assert api.objects["Job"] == []
    assert len(api.objects["Pod"]) == 3


def test_where_nothing_is_enforced_every_denied_probe_gets_through(kubelet: Kubelet) -> None:
    kubelet.engine_on = False
    found = run("--context", "overlay", "--run")
    assert found.exit_code == 1
    assert "NOT ENFORCED  prod/default-deny-all" in found.stdout
    assert "✗ denied, connected  default (no labels) -> prod/checkout-1:8080" in found.stdout
    again = "NEXT  mend what is red above, then headroom probes --context overlay --run"
    assert found.stdout.splitlines()[-1] == again


@pytest.mark.usefixtures("kubelet")
def test_a_policy_that_another_opens_is_told_before_any_probe(api: Api) -> None:
    api.add(OPEN)
    found = run("--context", "overlay", "--run")
    assert found.exit_code == 1
    assert "SHADOWED  prod/default-deny-all" in found.stdout
    assert "DENIES NOTHING  prod/open" in found.stdout


@pytest.mark.usefixtures("kubelet")
def test_a_cluster_that_takes_no_jobs_decides_nothing_and_is_cleaned_all_the_same(api: Api) -> None:
    api.refused.add(("POST", "Job"))
    found = run("--context", "overlay", "--run")
    assert found.exit_code == 3
    assert "the API server refused the Job: 403 Forbidden" in found.stdout
    assert any(method == "DELETE" for method, _ in api.calls)


@pytest.mark.usefixtures("kubelet")
def test_jobs_that_could_not_be_deleted_are_told_with_the_command(api: Api) -> None:
    api.refused.add(("DELETE", "Job"))
    found = run("--context", "overlay", "--run")
    assert found.exit_code == 0
    assert "Jobs were left in default, ingress-nginx, prod." in found.stderr
    assert "kubectl delete jobs --all-namespaces --selector headroom-probes=" in found.stderr


@pytest.mark.usefixtures("kubelet")
def test_what_a_killed_run_left_behind_is_deleted_by_the_next_and_changes_no_verdict(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    command, began = importlib.import_module("headroom.cli.probes"), datetime.now(UTC)
    with monkeypatch.context() as killed:
        killed.setattr(running.ProbeCluster, "clean", lambda *_: ())
        killed.setattr(command, "_now", lambda: began - timedelta(hours=1))
        assert run("--context", "overlay", "--run").exit_code == 0
        killed.setattr(command, "_now", lambda: began)
        assert run("--context", "overlay", "--run").exit_code == 0
    jobs = len(api.objects["Job"])
    monkeypatch.setattr(command, "_now", lambda: began + timedelta(minutes=1))
    found = run("--context", "overlay", "--run", "--json")
    assert found.exit_code == 0, found.output
    assert verdicts(found) == {"prod/allow-checkout-from-ingress": "enforced", "prod/default-deny-all": "enforced"}
    assert f"Deleted the Jobs that the run of {began - timedelta(hours=1):%Y-%m-%d %H:%M} UTC left" in found.stderr
    assert len(api.objects["Job"]) == jobs / 2, "a run of a minute ago may still be going on"


def test_a_run_that_is_interrupted_deletes_its_jobs_and_says_nothing_of_policies(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(running, "sources_of", interrupt)
    found = run("--context", "overlay", "--run")
    assert found.exit_code == 3
    assert "Interrupted: deleting the Jobs." in found.stderr
    assert "prod/" not in found.stdout
    assert api.objects["Job"] == []
    assert ("POST", "/apis/batch/v1/namespaces/prod/jobs") in api.calls


def test_pods_that_never_end_decide_nothing_when_patience_is_out(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        running.ProbeCluster.run, "__kwdefaults__", {**(running.ProbeCluster.run.__kwdefaults__ or {}), "patience": 0.1}
    )
    found = run("--context", "overlay", "--run")
    assert found.exit_code == 3
    assert "the pod is Pending" in found.stdout
    assert api.objects["Job"] == []


def test_without_run_nothing_is_made(api: Api) -> None:
    found = run("--context", "overlay")
    assert found.exit_code == 0
    assert {method for method, _ in api.calls} == {"GET"}
    assert "PROBES  6 for 2 policies: 5 denied, 1 allowed, from 5 Jobs" in found.stdout
    assert "NEXT  headroom probes --context overlay --run" in found.stdout


def test_policies_that_may_not_be_read_are_undecided(api: Api) -> None:
    api.refused.add(("GET", "NetworkPolicy"))
    found = run("--context", "overlay")
    assert found.exit_code == 3
    assert "network policies: denied (the API server answered 403 Forbidden)" in found.stdout


def test_a_cluster_without_policies_is_told(api: Api) -> None:
    api.objects["NetworkPolicy"] = []
    found = run("--context", "overlay")
    assert (found.exit_code, found.stdout) == (0, "There is no NetworkPolicy: every pod may talk to every pod.\n")


@pytest.mark.usefixtures("kubelet")
def test_the_role_allows_what_a_run_does_and_nothing_else(api: Api) -> None:
    verbs = {"GET": "list", "POST": "create", "DELETE": "deletecollection"}
    run("--context", "overlay", "--run")
    kubelets = {(method, path) for method, path in api.calls if method == "PATCH"}
    asked = {(path.rpartition("/")[2], verbs[method]) for method, path in set(api.calls) - kubelets}
    role, _ = yaml.safe_load_all(permissions("rbac-probes"))
    assert asked == {(name, verb) for rule in role["rules"] for name in rule["resources"] for verb in rule["verbs"]}
    assert role["rules"] == list(running.RBAC_RULES)


# By hand


def test_the_jobs_are_written_run_by_hand_and_judged_afterwards(api: Api, tmp_path: Path) -> None:
    folder = tmp_path / "probes"
    found = run("--facts", str(snapshot(api, tmp_path)), "--write", str(folder))
    assert found.exit_code == 0, found.output
    assert f"NEXT  kubectl apply --filename {folder / 'jobs.yaml'}" in found.stdout
    made = list(yaml.safe_load_all((folder / "jobs.yaml").read_text(encoding="utf-8")))
    for job in made:
        api.answer("POST", "/apis/batch/v1/jobs", {}, job)
    kube = kube_from(tmp_path / "kubeconfig")
    assert run_probe_jobs(kube, engine_on=True) == len(made) == 5
    kube.close()
    results = folder / "results.json"
    results.write_text(json.dumps({"kind": "List", "items": api.objects["Pod"]}), encoding="utf-8")
    judged = run("--results", str(results))
    assert judged.exit_code == 0, judged.output
    assert "ENFORCED  prod/default-deny-all" in judged.stdout
    # One pod that said nothing is enough to leave its policies undecided.
    kept = [each for each in api.objects["Pod"] if each["metadata"]["namespace"] != "ingress-nginx"]
    results.write_text(json.dumps({"kind": "List", "items": kept}), encoding="utf-8")
    assert run("--results", str(results)).exit_code == 3


def test_only_the_policies_named_are_probed(api: Api, tmp_path: Path) -> None:
    found = run("--facts", str(snapshot(api, tmp_path)), "--policy", "prod/default-deny-all", "--json")
    assert json.loads(found.stdout)["plan"]["policies"] == ["prod/default-deny-all"]


# Bad input


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "None of --facts, --context and --results is given."),
        (["--facts", "a", "--context", "b"], "--facts and --context are given together."),
        (["--facts", "a", "--run"], "--run needs a cluster"),
        (["--results", "a", "--write", "b"], "--write has nothing to write with --results."),
        (["--facts", "a", "--image", "busybox:1"], "--image: busybox:1 does not say which image is meant for good."),
        (["--facts", "/nowhere/a.json"], "cannot be read"),
        (["--context", "elsewhere"], "elsewhere is no context of the kubeconfig. There are: overlay."),
        (["--context", "overlay", "--policy", "prod/none"], "--policy: prod/none is no NetworkPolicy of the cluster."),
    ],
)
@pytest.mark.usefixtures("api")
def test_bad_input_is_told_with_what_would_do(words: list[str], said: str) -> None:
    found = run(*words)
    assert isinstance(found.exception, ProblemsError)
    assert said in str(found.exception)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"items": 3}', '{"items": [3]}', '{"items": [{}]}'])
def test_results_that_are_no_list_of_pods_are_refused(api: Api, tmp_path: Path, text: str) -> None:
    run("--facts", str(snapshot(api, tmp_path)), "--write", str(tmp_path / "p"))
    (tmp_path / "p" / "results.json").write_text(text, encoding="utf-8")
    found = run("--results", str(tmp_path / "p" / "results.json"))
    assert isinstance(found.exception, ProblemsError), found.output


def test_results_without_their_plan_are_refused(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text('{"items": []}', encoding="utf-8")
    found = run("--results", str(tmp_path / "results.json"))
    assert isinstance(found.exception, ProblemsError)
    assert "probes.json" in str(found.exception)


# The record that the stack of the traffic reads


def recorded(path: Path) -> ProbeRecord:
    return read_record(path.read_text(encoding="utf-8"), subject=path.name)


@pytest.mark.usefixtures("kubelet")
def test_a_run_is_recorded_with_its_cluster_for_the_first_step(api: Api, tmp_path: Path) -> None:
    path = tmp_path / "probes.prod-traffic.json"
    found = run("--context", "overlay", "--run", "--record", str(path))
    assert found.exit_code == 0, found.output
    assert "Recorded as clear of c: " in found.stderr
    record = recorded(path)
    assert (record.cluster, record.server, record.verdict) == ("c", api.host.removeprefix("http://"), "clear")
    assert [each.what for each in record.policies] == ["prod/allow-checkout-from-ingress", "prod/default-deny-all"]
    assert first_step_problems(record, "c", "x", without=None, now=datetime.now(UTC)) == ()


def test_a_run_that_is_not_clear_is_recorded_as_such_and_replaces_one_that_was(
    api: Api, kubelet: Kubelet, tmp_path: Path
) -> None:
    path = tmp_path / "record.json"
    run("--context", "overlay", "--run", "--record", str(path))
    kubelet.engine_on = False
    assert run("--context", "overlay", "--run", "--record", str(path)).exit_code == 1
    assert recorded(path).verdict == "wrong"
    api.refused.add(("GET", "NetworkPolicy"))
    assert run("--context", "overlay", "--run", "--record", str(path)).exit_code == 3
    assert recorded(path).verdict == "undecided"
    assert recorded(path).unread[0] == "network policies: denied (the API server answered 403 Forbidden)"


def test_a_cluster_without_policies_is_clear_and_says_so(api: Api, tmp_path: Path) -> None:
    api.objects["NetworkPolicy"] = []
    path = tmp_path / "record.json"
    assert run("--context", "overlay", "--run", "--record", str(path)).exit_code == 0
    assert recorded(path) == ProbeRecord(
        probed=recorded(path).probed, cluster="c", server=api.host.removeprefix("http://")
    )


def test_a_run_by_hand_is_recorded_with_the_time_at_which_it_was_planned(api: Api, tmp_path: Path) -> None:
    folder, path = tmp_path / "probes", tmp_path / "record.json"
    run("--context", "overlay", "--write", str(folder))
    results = folder / "results.json"
    results.write_text(json.dumps({"kind": "List", "items": api.objects["Pod"]}), encoding="utf-8")
    assert run("--results", str(results), "--record", str(path)).exit_code == 3
    plan = json.loads((folder / "probes.json").read_text(encoding="utf-8"))
    record = recorded(path)
    assert (record.cluster, f"{record.probed:%Y%m%d-%H%M%S}") == ("c", plan["run"])
    for change in ({"cluster": ""}, {"only": ["prod/default-deny-all"]}, {"run": "yesterday"}):
        (folder / "probes.json").write_text(json.dumps({**plan, **change}), encoding="utf-8")
        refused = run("--results", str(results), "--record", str(path))
        assert isinstance(refused.exception, ProblemsError), change


@pytest.mark.usefixtures("kubelet")
def test_a_result_whose_record_cannot_be_written_is_told_all_the_same(tmp_path: Path) -> None:
    found = run("--context", "overlay", "--run", "--record", str(tmp_path / "none" / "r.json"))
    assert isinstance(found.exception, ProblemsError)
    assert "ENFORCED  prod/default-deny-all" in found.stdout


def test_all_that_is_wrong_with_a_record_and_the_other_options_is_said_at_once() -> None:
    found = run("--facts", "f.json", "--run", "--record", "r", "--policy", "prod/a", "--image", "agnhost")
    assert isinstance(found.exception, ProblemsError)
    assert [each.rule for each in found.exception.problems] == ["run-needs-cluster", "image-by-digest", "record-of-all"]


@pytest.mark.parametrize(
    "words",
    [
        ["--context", "overlay", "--record", "r"],
        ["--context", "overlay", "--run", "--record", "r", "--policy", "prod/default-deny-all"],
        ["--context", "overlay", "--run", "--record", "/nowhere/r.json"],
    ],
    ids=["nothing ran", "a part", "no folder"],
)
@pytest.mark.usefixtures("kubelet")
def test_what_would_be_no_record_of_the_cluster_is_refused(words: list[str]) -> None:
    assert isinstance(run(*words).exception, ProblemsError)
