"""Which context, Region and profile are used."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from headroom.addresses.problems import ProblemsError
from headroom.collect.failures import NotReadError
from headroom.collect.session import aws_clients, choose_context, kube_client, region_of
from headroom.facts.values import Reason

ARN = "arn:aws:eks:eu-central-1:123456789012:cluster/prod"
EKSCTL = "alice@prod.eu-west-3.eksctl.io"


def write(folder: Path, contexts: dict[str, str], current: str) -> str:
    """A kubeconfig with these contexts and their clusters."""
    file = folder / "kubeconfig"
    content: dict[str, Any] = {
        "clusters": [{"name": name, "cluster": {"server": "https://127.0.0.1:1"}} for name in contexts.values()],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": name, "context": {"cluster": of, "user": "u"}} for name, of in contexts.items()],
        "current-context": current,
    }
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return str(file)


@pytest.mark.parametrize(
    ("contexts", "current", "chosen"),
    [
        ({"staging": "s", ARN: ARN}, "staging", ARN),
        ({"staging": "s", "production": ARN}, "staging", "production"),
        ({"staging": "s", EKSCTL: "prod.eu-west-3.eksctl.io"}, "staging", EKSCTL),
        ({"staging": "s", "prod": "p"}, "staging", "prod"),
        ({"staging": "s", "other": "o"}, "staging", "staging"),
        ({"a": ARN, "b": ARN}, "b", "b"),
        ({"a": ARN, "b": ARN, "c": "c"}, "c", "c"),
        ({"x-prod-2": "x-prod-2", "c": "c"}, "c", "c"),
    ],
)
def test_the_context_is_the_one_named_after_the_cluster_or_else_the_current_one(
    contexts: dict[str, str], current: str, chosen: str, tmp_path: Path
) -> None:
    found = choose_context("prod", kubeconfig=write(tmp_path, contexts, current))
    assert (found.name, found.cluster) == (chosen, contexts[chosen])


def test_a_context_that_is_asked_for_is_taken(tmp_path: Path) -> None:
    file = write(tmp_path, {"staging": "s", "prod": "p"}, "staging")
    assert choose_context("prod", "staging", kubeconfig=file).name == "staging"


def test_a_context_that_does_not_exist_is_refused_with_those_that_do(tmp_path: Path) -> None:
    file = write(tmp_path, {"staging": "s", "prod": "p"}, "staging")
    with pytest.raises(ProblemsError) as refused:
        choose_context("prod", "production", kubeconfig=file)
    assert refused.value.problems[0].message == (
        "--context: production is no context of the kubeconfig. There are: staging, prod."
    )


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "contexts: 5\ncurrent-context: x\n", "a: b", "contexts: [{name: x}]", "contexts: [5]"]
)
def test_a_kubeconfig_of_the_wrong_shape_is_said_and_not_raised(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    file = tmp_path / "kubeconfig"
    file.write_text(text, encoding="utf-8")
    found = choose_context("prod", kubeconfig=str(file))
    assert found.unknown is not None
    assert found.unknown.reason is Reason.UNREACHABLE
    with pytest.raises(NotReadError):
        kube_client(found)
    with pytest.raises(ProblemsError):
        choose_context("prod", "wanted", kubeconfig=str(file))


@pytest.mark.parametrize("current", ["", "gone"])
def test_a_kubeconfig_without_a_usable_current_context_still_serves_a_named_one(current: str, tmp_path: Path) -> None:
    file = write(tmp_path, {"staging": "s", ARN: ARN}, current)
    assert choose_context("prod", kubeconfig=file).name == ARN
    assert choose_context("prod", "staging", kubeconfig=file).name == "staging"
    assert "--context names one" in str(choose_context("elsewhere", kubeconfig=file).unknown)


def test_a_kubeconfig_that_names_what_it_lacks_is_denied_when_it_is_used(tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    content = {"contexts": [{"name": "prod", "context": {"cluster": "c", "user": "u"}}], "current-context": "prod"}
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(NotReadError) as failed:
        kube_client(choose_context("prod", kubeconfig=str(file)))
    assert failed.value.unknown.reason is Reason.DENIED


def test_inside_of_a_cluster_no_kubeconfig_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "172.20.0.1")
    found = choose_context("prod", kubeconfig=str(tmp_path / "none"))
    assert (found.name, found.unknown) == ("", None)
    with pytest.raises(NotReadError, match="no usable kubeconfig"):
        kube_client(found)  # no service account's token is mounted here


@pytest.mark.parametrize(
    ("name", "region"),
    [
        (ARN, "eu-central-1"),
        ("arn:aws-us-gov:eks:us-gov-west-1:1:cluster/x", "us-gov-west-1"),
        ("prod.eu-west-3.eksctl.io", "eu-west-3"),
        ("prod", ""),
        ("", ""),
    ],
)
def test_the_usual_names_of_a_cluster_tell_its_region(name: str, region: str) -> None:
    assert region_of(name) == region


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An environment in which AWS is not configured."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))


@pytest.mark.usefixtures("bare")
def test_the_region_is_given_configured_or_told_by_the_kubeconfig(monkeypatch: pytest.MonkeyPatch) -> None:
    assert aws_clients(hint=ARN).region == "eu-central-1"
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-north-1")
    assert aws_clients(hint=ARN).region == "eu-north-1"
    monkeypatch.setenv("AWS_REGION", "eu-south-1")
    assert aws_clients(hint=ARN).region == "eu-south-1"
    assert aws_clients(region="us-east-2", hint=ARN).region == "us-east-2"


@pytest.mark.usefixtures("bare")
def test_without_any_region_it_says_where_to_give_one() -> None:
    with pytest.raises(ProblemsError) as refused:
        aws_clients()
    assert refused.value.problems[0].next_step == "Give --region, or set AWS_REGION."


@pytest.mark.usefixtures("bare")
def test_a_profile_that_does_not_exist_is_refused_with_those_that_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "config"
    file.write_text("[profile dev]\nregion = us-east-1\n[profile prod]\nregion = us-east-1\n", encoding="utf-8")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(file))
    assert aws_clients(profile="dev").region == "us-east-1"
    with pytest.raises(ProblemsError) as refused:
        aws_clients(profile="production")
    assert refused.value.problems[0].next_step == "There are: dev, prod."


@pytest.mark.usefixtures("bare")
def test_a_client_is_made_once_and_repeats_at_its_own_pace() -> None:
    clients = aws_clients(region="us-east-1", endpoint_url="http://127.0.0.1:1")
    ec2 = clients("ec2")
    assert clients("ec2") is ec2
    assert ec2.meta.endpoint_url == "http://127.0.0.1:1"
    assert ec2.meta.config.retries["mode"] == "adaptive"
    clients.close()
