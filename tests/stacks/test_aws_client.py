"""A client beside the provider asks as the provider does."""

from __future__ import annotations

import contextvars
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pulumi_aws
import pytest
from pulumi._types import input_type_py_to_pulumi_names
from pulumi.runtime.config import set_all_config

from headroom.collect.reservations import IAM_ACTIONS
from stacks.aws_client import HONOURED, WITHOUT_EFFECT, ec2_client, provider_settings, settings_not_honoured

if TYPE_CHECKING:
    from collections.abc import Mapping

CHECKOUT = Path(__file__).parents[2]
ROLE = {"roleArn": "arn:aws:iam::123456789012:role/network", "externalId": "x", "duration": "1h"}


@pytest.fixture(autouse=True)
def no_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable and no file of this machine has a say."""
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of-the-environment")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    config = tmp_path / "config"
    config.write_text(
        "[profile prod]\nregion = eu-west-1\naws_access_key_id = of-the-profile\naws_secret_access_key = s\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))


def configured(**values: Any) -> dict[str, Any]:
    """The provider's settings as the engine hands them over."""

    def inside() -> dict[str, Any]:
        texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}
        set_all_config({"headroom:vpcId": "vpc-1", **{f"aws:{key}": text for key, text in texts.items()}})
        return provider_settings()

    return contextvars.copy_context().run(inside)


def asks_as(settings: Mapping[str, Any]) -> tuple[str, str, str]:
    """Region, access key and endpoint of the client."""
    client: Any = ec2_client(settings)
    credentials = client._get_credentials()
    return client.meta.region_name, credentials.access_key, client.meta.endpoint_url


def test_the_providers_settings_are_read_with_their_structure_and_nobody_elses() -> None:
    assert configured(region="us-east-1", endpoints=[{"ec2": "http://127.0.0.1:1"}], skipRegionValidation=True) == {
        "region": "us-east-1",
        "endpoints": [{"ec2": "http://127.0.0.1:1"}],
        "skipRegionValidation": "true",
    }


def test_region_profile_keys_and_endpoint_are_those_of_the_provider() -> None:
    assert asks_as(configured(region="us-west-2")) == (
        "us-west-2",
        "of-the-environment",
        "https://ec2.us-west-2.amazonaws.com",
    )
    assert asks_as(configured(profile="prod"))[:2] == ("eu-west-1", "of-the-profile")
    keys = configured(
        region="us-east-1", accessKey="mine", secretKey="s", endpoints=[{"sts": "x"}, {"ec2": "http://e"}]
    )
    assert asks_as(keys) == ("us-east-1", "mine", "http://e")


def test_without_a_region_in_the_stack_the_environments_is_taken_in_the_providers_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-north-1")
    assert asks_as({})[0] == "eu-north-1"
    monkeypatch.setenv("AWS_REGION", "eu-south-1")
    assert asks_as({})[0] == "eu-south-1"


def test_roles_are_assumed_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str, str | None, dict[str, Any]]] = []
    original = boto3.session.Session.client

    class Sts:
        def __init__(self, key: str, region: str, endpoint: str | None) -> None:
            self.made = key, region, endpoint

        def assume_role(self, **arguments: Any) -> dict[str, Any]:
            asked.append((*self.made, arguments))
            number = len(asked)
            keys = {"AccessKeyId": f"role-{number}", "SecretAccessKey": "s", "SessionToken": "t"}
            return {"Credentials": keys}

    def client(self: boto3.session.Session, name: Any, **more: Any) -> Any:
        if name != "sts":
            return original(self, name, **more)
        credentials = self.get_credentials()
        assert credentials is not None
        return Sts(credentials.access_key, more["region_name"], more["endpoint_url"])

    monkeypatch.setattr(boto3.session.Session, "client", client)
    second = {
        "roleArn": "arn:aws:iam::210987654321:role/pods",
        "sessionName": "me",
        "policyArns": ["arn:p"],
        "tags": {"a": "b"},
    }
    settings = configured(region="us-east-1", assumeRoles=[ROLE, second], stsRegion="us-west-1")
    assert asks_as(settings)[:2] == ("us-east-1", "role-2")
    first = {"RoleArn": ROLE["roleArn"], "ExternalId": "x", "RoleSessionName": "headroom"}
    assert asked == [
        ("of-the-environment", "us-west-1", None, first),
        (
            "role-1",
            "us-west-1",
            None,
            {
                "RoleArn": second["roleArn"],
                "RoleSessionName": "me",
                "PolicyArns": [{"arn": "arn:p"}],
                "Tags": [{"Key": "a", "Value": "b"}],
            },
        ),
    ]


def test_what_cannot_be_honoured_is_named() -> None:
    settings = configured(region="us-east-1", httpProxy="http://p", assumeRoleWithWebIdentity={}, maxRetries=3)
    assert settings_not_honoured(settings) == ["aws:assumeRoleWithWebIdentity", "aws:httpProxy"]
    assert settings_not_honoured(configured(region="us-east-1", profile="prod")) == []


def test_every_setting_that_is_sorted_is_one_of_the_provider() -> None:
    known = set(input_type_py_to_pulumi_names(pulumi_aws.provider.ProviderArgs).values())
    assert known >= HONOURED | WITHOUT_EFFECT
    assert not HONOURED & WITHOUT_EFFECT


def test_what_the_client_is_for_is_in_the_policy_document() -> None:
    document = json.loads((CHECKOUT / "stacks" / "emergency.iam.json").read_text(encoding="utf-8"))
    allowed = {action for statement in document["Statement"] for action in statement["Action"]}
    assert set(IAM_ACTIONS) <= allowed
