"""What the simulated EventBridge does with a connection's values: it keeps them, and never tells them again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import boto3
import pytest

if TYPE_CHECKING:
    from headroom.rehearsal.aws.endpoint import Endpoint


@pytest.fixture(scope="module")
def aws(simulated_aws: Endpoint) -> Endpoint:
    return simulated_aws


def parameters(token: str) -> dict[str, Any]:
    return {
        "ApiKeyAuthParameters": {"ApiKeyName": "X-Cluster", "ApiKeyValue": token},
        "InvocationHttpParameters": {
            "BodyParameters": [
                {"Key": "token", "Value": token, "IsValueSecret": True},
                {"Key": "ref", "Value": "main", "IsValueSecret": False},
            ]
        },
    }


def test_a_connection_does_not_tell_its_values_and_its_secret_does(aws: Endpoint) -> None:
    session = boto3.session.Session("rehearsal", "rehearsal", region_name="us-east-1")
    events: Any = session.client("events", endpoint_url=aws.url)
    secrets: Any = session.client("secretsmanager", endpoint_url=aws.url)
    events.create_connection(Name="c-1", AuthorizationType="API_KEY", AuthParameters=parameters("first"))
    described = events.describe_connection(Name="c-1")
    assert described["AuthParameters"] == {
        "ApiKeyAuthParameters": {"ApiKeyName": "X-Cluster"},
        "InvocationHttpParameters": {
            "BodyParameters": [
                {"Key": "token", "IsValueSecret": True},
                {"Key": "ref", "Value": "main", "IsValueSecret": False},
            ]
        },
    }
    first = json.loads(secrets.get_secret_value(SecretId=described["SecretArn"])["SecretString"])
    events.update_connection(Name="c-1", AuthorizationType="API_KEY", AuthParameters=parameters("second"))
    again = events.describe_connection(Name="c-1")
    second = json.loads(secrets.get_secret_value(SecretId=again["SecretArn"])["SecretString"])
    assert second == json.loads(json.dumps(first).replace("first", "second")), "in the form of a new one"
    assert second["api_key_value"] == "second"
    events.delete_connection(Name="c-1")
