"""Stand-in resource types for what starts a pipeline: connection, API destination, the policy of a queue."""

import json
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from headroom.rehearsal.providers.aws_api import code_of
from headroom.rehearsal.providers.aws_watch import _Named, picked, shown
from headroom.rehearsal.providers.common import Call
from headroom.rehearsal.providers.values import Properties


class EventConnection(_Named):
    """What EventBridge signs in with; it keeps the values in a secret of its own, and never tells them again."""

    service = "events"
    token = "aws:cloudwatch/eventConnection:EventConnection"  # noqa: S105  # no secret
    title = "EventBridge Connection"
    required = frozenset({"authParameters", "authorizationType"})
    optional = frozenset({"description"})
    optional_computed = frozenset({"name"})
    not_simulated = frozenset({"invocationConnectivityParameters", "kmsKeyIdentifier"})
    outputs = frozenset({"arn", "secretArn"})
    replaces = frozenset({"name"})
    write_only = frozenset({"authParameters"})

    def put(self, call: Call, identifier: str, inputs: Properties) -> Properties:
        """CreateConnection, or UpdateConnection for one that is there."""
        events = self.api(call, inputs)
        request = {
            "Name": identifier,
            "AuthorizationType": inputs["authorizationType"],
            "AuthParameters": _parameters(inputs["authParameters"]),
            **picked(inputs, {"description": "Description"}),
        }
        try:
            events.describe_connection(Name=identifier)
            events.update_connection(**request)
        except ClientError as error:
            if code_of(error) != "ResourceNotFoundException":
                raise
            events.create_connection(**request)
        found = events.describe_connection(Name=identifier)
        return {"arn": found["ConnectionArn"], "secretArn": found["SecretArn"]}

    def describe(self, call: Call, identifier: str, state: Properties) -> Properties | None:
        """DescribeConnection."""
        found = self.api(call, state).describe_connection(Name=identifier)
        told = shown(found, {"authorizationType": "AuthorizationType", "description": "Description"})
        return {"name": identifier, "arn": found["ConnectionArn"], "secretArn": found["SecretArn"], **told}

    def remove(self, call: Call, identifier: str, state: Properties) -> None:
        """DeleteConnection."""
        self.api(call, state).delete_connection(Name=identifier)


def _parameters(given: Mapping[str, Any]) -> dict[str, Any]:
    """The AuthParameters of a request; what the component does not use is not simulated."""
    found: dict[str, Any] = {}
    if given.get("apiKey"):
        key = given["apiKey"]
        found["ApiKeyAuthParameters"] = {"ApiKeyName": key["key"], "ApiKeyValue": key["value"]}
    if given.get("basic"):
        basic = given["basic"]
        found["BasicAuthParameters"] = {"Username": basic["username"], "Password": basic["password"]}
    bodies = (given.get("invocationHttpParameters") or {}).get("bodies") or []
    if bodies:
        names = {"key": "Key", "value": "Value", "isValueSecret": "IsValueSecret"}
        found["InvocationHttpParameters"] = {"BodyParameters": [picked(each, names) for each in bodies]}
    return found


class EventApiDestination(_Named):
    """An HTTPS address that a rule calls."""

    service = "events"
    token = "aws:cloudwatch/eventApiDestination:EventApiDestination"  # noqa: S105  # no secret
    title = "EventBridge API Destination"
    required = frozenset({"connectionArn", "httpMethod", "invocationEndpoint"})
    optional = frozenset({"description", "invocationRateLimitPerSecond"})
    optional_computed = frozenset({"name"})
    outputs = frozenset({"arn"})
    replaces = frozenset({"name"})
    settings = {  # noqa: RUF012 - a table
        "connectionArn": "ConnectionArn",
        "description": "Description",
        "httpMethod": "HttpMethod",
        "invocationEndpoint": "InvocationEndpoint",
        "invocationRateLimitPerSecond": "InvocationRateLimitPerSecond",
    }

    def put(self, call: Call, identifier: str, inputs: Properties) -> Properties:
        """CreateApiDestination, or UpdateApiDestination for one that is there."""
        events = self.api(call, inputs)
        request = {"Name": identifier, **picked(inputs, self.settings)}
        if "InvocationRateLimitPerSecond" in request:
            request["InvocationRateLimitPerSecond"] = int(request["InvocationRateLimitPerSecond"])
        try:
            events.describe_api_destination(Name=identifier)
            events.update_api_destination(**request)
        except ClientError as error:
            if code_of(error) != "ResourceNotFoundException":
                raise
            events.create_api_destination(**request)
        return {"arn": events.describe_api_destination(Name=identifier)["ApiDestinationArn"]}

    def describe(self, call: Call, identifier: str, state: Properties) -> Properties | None:
        """DescribeApiDestination."""
        found = self.api(call, state).describe_api_destination(Name=identifier)
        return {"name": identifier, "arn": found["ApiDestinationArn"], **shown(found, self.settings)}

    def remove(self, call: Call, identifier: str, state: Properties) -> None:
        """DeleteApiDestination."""
        self.api(call, state).delete_api_destination(Name=identifier)


class QueuePolicy(_Named):
    """Who may write into a queue."""

    service = "sqs"
    token = "aws:sqs/queuePolicy:QueuePolicy"  # noqa: S105  # no secret
    title = "SQS Queue Policy"
    named = False
    required = frozenset({"policy", "queueUrl"})
    replaces = frozenset({"queueUrl"})

    def identifier(self, inputs: Properties) -> str:
        """The queue's address."""
        return str(inputs["queueUrl"])

    def put(self, call: Call, identifier: str, inputs: Properties) -> Properties:
        """SetQueueAttributes."""
        policy = json.dumps(json.loads(inputs["policy"]))
        self.api(call, inputs).set_queue_attributes(QueueUrl=identifier, Attributes={"Policy": policy})
        return {}

    def describe(self, call: Call, identifier: str, state: Properties) -> Properties | None:
        """GetQueueAttributes."""
        answer = self.api(call, state).get_queue_attributes(QueueUrl=identifier, AttributeNames=["Policy"])
        policy = answer.get("Attributes", {}).get("Policy")
        return {"queueUrl": identifier, "policy": policy} if policy else None

    def remove(self, call: Call, identifier: str, state: Properties) -> None:
        """SetQueueAttributes with none."""
        self.api(call, state).set_queue_attributes(QueueUrl=identifier, Attributes={"Policy": ""})


KINDS = (EventConnection(), EventApiDestination(), QueuePolicy())
