"""What all stand-in resource types of `aws` share: clients, tags, error texts, the Region."""

import threading
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from headroom.rehearsal.providers.common import Call, Change, Failure, Found, ResourceKind, current_call
from headroom.rehearsal.providers.values import UNKNOWN, Difference, Properties, compare, is_empty

DEFAULT_REGION = "us-east-1"

MAX_ATTEMPTS = 25
"""Attempts of one API call when EC2 throttles, as the real provider makes (pulumi-aws, `maxRetries`)."""

_CLIENT_LOCK = threading.Lock()
_ENDPOINT: list[str] = []


def use_endpoint(url: str) -> None:
    """Say where AWS is; every client made later goes there, whatever the program configures."""
    _ENDPOINT[:] = [url]
    _client.cache_clear()


def client(service: str, region: str) -> Any:
    """A client of an AWS service."""
    with _CLIENT_LOCK:
        return _client(service, region, _ENDPOINT[0])


@cache
def _client(service: str, region: str, endpoint: str) -> Any:
    made = boto3.session.Session().client(
        service,  # type: ignore[call-overload]  # any service
        region_name=region,
        endpoint_url=endpoint,
        aws_access_key_id="rehearsal",
        aws_secret_access_key="rehearsal",  # noqa: S106  # the simulated AWS knows no secrets
        config=Config(retries={"mode": "standard", "total_max_attempts": MAX_ATTEMPTS}, max_pool_connections=64),
    )
    made.meta.events.register("before-call", _check_wanted)
    return made


def _check_wanted(**_details: Any) -> None:
    """A real provider dies with its engine: no call on behalf of one that has gone."""
    call = current_call()
    if call:
        call.check_wanted()


def region_of(call: Call, properties: Mapping[str, Any]) -> str:
    """The Region: the resource's own, else that of the provider instance."""
    return str(properties.get("region") or call.configuration.get("region") or DEFAULT_REGION)


def code_of(error: ClientError) -> str:
    """AWS's error code."""
    return str(error.response.get("Error", {}).get("Code", ""))


def api_error_text(doing: str, error: Exception) -> str | None:
    """The text as the real provider shows an error of the AWS SDK, or None for other errors."""
    if isinstance(error, BotoCoreError):
        return f"{doing}: {error}"
    if not isinstance(error, ClientError):
        return None
    metadata = error.response.get("ResponseMetadata", {})
    details = error.response.get("Error", {})
    code, message = details.get("Code", ""), details.get("Message", "")
    modelled = "Exception" in code
    return (
        f"{doing}: operation error {'EKS' if modelled else 'EC2'}: {error.operation_name}, "
        f"https response error StatusCode: {metadata.get('HTTPStatusCode', 0)}, "
        f"RequestID: {metadata.get('RequestId', '')}, {'' if modelled else 'api error '}{code}: {message}"
    )


def tags_of(described: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Tags as AWS lists them, as a mapping; without those that AWS itself sets."""
    return {tag["Key"]: tag["Value"] for tag in described if not tag["Key"].startswith("aws:")}


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags as the API takes them."""
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]


def tag_specifications(kind: str, tags: Mapping[str, str]) -> dict[str, Any]:
    """The parameter that tags a resource while it is created; nothing without tags."""
    return {"TagSpecifications": [{"ResourceType": kind, "Tags": tag_list(tags)}]} if tags else {}


def filter_list(filters: Mapping[str, Iterable[str]]) -> list[dict[str, Any]]:
    """Filters as the API takes them."""
    return [{"Name": name, "Values": list(values)} for name, values in filters.items()]


class AwsKind(ResourceKind):
    """A resource type of AWS: it has a Region, and its state is what AWS says."""

    service = "ec2"

    @property
    def inputs(self) -> frozenset[str]:
        """All inputs; every type has `region`."""
        return super().inputs | {"region"}

    def api(self, call: Call, properties: Mapping[str, Any]) -> Any:
        """The client for a resource."""
        return client(self.service, region_of(call, properties))

    def ec2(self, call: Call, properties: Mapping[str, Any]) -> Any:
        """The EC2 client for a resource."""
        return client("ec2", region_of(call, properties))

    def differences(self, call: Call, change: Change) -> list[Difference]:
        """As any type; the Region cannot be changed in place."""
        found = [item for item in super().differences(call, change) if item.top != "region"]
        old, new = region_of(call, change.old_state), region_of(call, change.new_inputs)
        return found + compare("region", old, new, replace=True)

    def preview_create(self, call: Call, inputs: Properties) -> Properties:
        """The state that a creation would have."""
        return {**super().preview_create(call, inputs), "region": region_of(call, inputs)}

    def found(self, state: Properties, inputs: Properties, *, identifier: str | None = None) -> Found:
        """What a read found, and the inputs that would make it so.

        For a refresh these are the old inputs with their present values, of mappings the keys that were given
        (pulumi-terraform-bridge, extractInputs); for an import (no old inputs) all that are not empty.
        """
        if inputs:
            present = {
                name: value if name in self.write_only else _of_those_given(value, state.get(name))
                for name, value in inputs.items()
            }
        else:
            known = self.required | self.optional | self.optional_computed
            present = {name: state[name] for name in sorted(known) if not is_empty(state.get(name))}
        return Found(state, {name: value for name, value in present.items() if value is not None}, identifier)

    def explain(self, doing: str, error: Exception) -> str | None:
        """The text for an error of the AWS SDK."""
        return api_error_text(doing, error)


def _of_those_given(given: Any, present: Any) -> Any:
    if isinstance(given, dict) and isinstance(present, dict):
        return {key: present[key] for key in given if key in present}
    return present


class TaggedKind(AwsKind):
    """A resource type with `tags`; the provider's default tags are merged into them, as pulumi-aws does."""

    def check(self, call: Call, inputs: Properties) -> list[Failure]:
        """As any type; inputs that come back from an earlier check have `tagsAll`."""
        return super().check(call, {name: value for name, value in inputs.items() if name != "tagsAll"})

    def with_defaults(self, call: Call, inputs: Properties) -> Properties:
        """The inputs with the default tags of the provider instance below their own.

        `tagsAll` becomes an input with that, though a program cannot write it (pulumi-aws, provider/tags.go,
        applyTags).
        """
        if inputs.get("tags") == UNKNOWN:
            return {**inputs, "tagsAll": UNKNOWN}
        defaults = (call.configuration.get("defaultTags") or {}).get("tags") or {}
        tags = {**defaults, **(inputs.get("tags") or {})}
        return {**inputs, **({"tags": tags} if tags else {}), "tagsAll": tags}

    def differences(self, call: Call, change: Change) -> list[Difference]:
        """As any type; the tags differ twice, as in a plan of the real provider."""
        wanted = change.new_inputs.get("tagsAll", change.new_inputs.get("tags"))
        return super().differences(call, change) + compare("tagsAll", change.old_state.get("tagsAll"), wanted)

    def all_tags(self, inputs: Mapping[str, Any]) -> dict[str, str]:
        """The tags that the resource shall have."""
        return dict(inputs.get("tagsAll", inputs.get("tags")) or {})

    def shown_tags(self, tags: Mapping[str, str]) -> Properties:
        """`tags` and `tagsAll` for tags that the resource has."""
        return {"tags": dict(tags) or None, "tagsAll": dict(tags)}

    def preview_create(self, call: Call, inputs: Properties) -> Properties:
        """The state that a creation would have; its tags are known."""
        return {**super().preview_create(call, inputs), "tagsAll": self.all_tags(inputs)}

    def preview_update(self, call: Call, change: Change) -> Properties:
        """The state after an update; its tags are known."""
        return {**super().preview_update(call, change), "tagsAll": self.all_tags(change.new_inputs)}

    def update_tags(self, call: Call, identifier: str, change: Change) -> None:
        """Take away the tags that are no longer wanted and set those that differ."""
        old: dict[str, str] = dict(change.old_state.get("tagsAll") or {})
        new = self.all_tags(change.new_inputs)
        ec2 = self.ec2(call, change.new_inputs)
        gone = sorted(old.keys() - new.keys())
        changed = {key: value for key, value in new.items() if old.get(key) != value}
        if gone:
            ec2.delete_tags(Resources=[identifier], Tags=[{"Key": key} for key in gone])
        if changed:
            ec2.create_tags(Resources=[identifier], Tags=tag_list(changed))
