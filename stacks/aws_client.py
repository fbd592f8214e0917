"""Clients for what the AWS provider cannot look up, with the settings that the stack gives that provider."""

import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from pulumi.runtime.config import CONFIG, get_config_env

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

NAMESPACE: Final = "aws"

HONOURED: Final = frozenset(
    {"region", "profile", "accessKey", "secretKey", "token", "endpoints", "assumeRoles", "stsRegion"}
)
"""Settings of the provider that this client is given too (pulumi-aws, provider configuration)."""

WITHOUT_EFFECT: Final = frozenset(
    {
        "allowedAccountIds",
        "defaultTags",
        "forbiddenAccountIds",
        "ignoreTags",
        "maxRetries",
        "retryMode",
        "s3UsEast1RegionalEndpoint",
        "s3UsePathStyle",
        "skipCredentialsValidation",
        "skipMetadataApiCheck",
        "skipRegionValidation",
        "skipRequestingAccountId",
        "tagPolicyCompliance",
        "tokenBucketRateLimiterCapacity",
        "userAgents",
    }
)
"""Settings of the provider that change neither who asks nor whom: a single read does without them."""

_ROLE_ARGUMENTS: Final = {
    "roleArn": "RoleArn",
    "sessionName": "RoleSessionName",
    "externalId": "ExternalId",
    "policy": "Policy",
    "sourceIdentity": "SourceIdentity",
    "transitiveTagKeys": "TransitiveTagKeys",
}
"""Fields of `aws:assumeRoles` that STS takes as they are (STS API reference, AssumeRole)."""


def provider_settings() -> dict[str, Any]:
    """The stack's `aws:` configuration by key, structures decoded."""
    configured = {**get_config_env(), **CONFIG.get()}
    prefix = f"{NAMESPACE}:"
    return {key.removeprefix(prefix): _decoded(value) for key, value in configured.items() if key.startswith(prefix)}


def settings_not_honoured(settings: Mapping[str, Any]) -> list[str]:
    """Keys under which the provider may see another account or endpoint than this client would."""
    return sorted(f"{NAMESPACE}:{key}" for key in settings if key not in HONOURED | WITHOUT_EFFECT)


def ec2_client(settings: Mapping[str, Any]) -> "EC2Client":
    """A client of EC2; see `_client`."""
    client: EC2Client = _client(settings, "ec2")
    return client


def cloudwatch_client(settings: Mapping[str, Any]) -> Any:
    """A client of CloudWatch; see `_client`."""
    return _client(settings, "cloudwatch")


def _client(settings: Mapping[str, Any], service: str) -> Any:
    """A client that asks as the provider does; what is not set comes from the environment, as it does there.

    Args:
        settings: From `provider_settings`; without any of `settings_not_honoured`.
        service: boto3's name of the service.

    Raises:
        botocore.exceptions.BotoCoreError: There is no such profile, no Region, ….
        botocore.exceptions.ClientError: A role may not be assumed.
    """
    # Imported here: half a second that only a stack with reservations to be made has to spend.
    import boto3  # noqa: PLC0415

    # boto3 reads AWS_DEFAULT_REGION only, the provider AWS_REGION first.
    region = settings.get("region") or os.environ.get("AWS_REGION") or None
    session = boto3.session.Session(
        region_name=region,
        profile_name=settings.get("profile") or None,
        aws_access_key_id=settings.get("accessKey") or None,
        aws_secret_access_key=settings.get("secretKey") or None,
        aws_session_token=settings.get("token") or None,
    )
    for role in settings.get("assumeRoles") or ():
        sts: Any = session.client(
            "sts",
            region_name=settings.get("stsRegion") or session.region_name,
            endpoint_url=_endpoint(settings, "sts"),
        )
        credentials = sts.assume_role(**_role_arguments(role))["Credentials"]
        session = boto3.session.Session(
            region_name=session.region_name,
            aws_access_key_id=credentials["AccessKeyId"],
            aws_secret_access_key=credentials["SecretAccessKey"],
            aws_session_token=credentials["SessionToken"],
        )
    return session.client(service, endpoint_url=_endpoint(settings, service))  # type: ignore[call-overload]  # the stubs list services one by one


def _role_arguments(role: Mapping[str, Any]) -> dict[str, Any]:
    arguments = {theirs: role[ours] for ours, theirs in _ROLE_ARGUMENTS.items() if role.get(ours)}
    arguments.setdefault("RoleSessionName", "headroom")
    if role.get("policyArns"):
        arguments["PolicyArns"] = [{"arn": arn} for arn in role["policyArns"]]
    if role.get("tags"):
        arguments["Tags"] = [{"Key": key, "Value": value} for key, value in role["tags"].items()]
    return arguments


def _endpoint(settings: Mapping[str, Any], service: str) -> str | None:
    found = [item.get(service) for item in settings.get("endpoints") or () if item.get(service)]
    return found[0] if found else None


def _decoded(value: str) -> Any:
    # The engine hands lists and mappings over as JSON; no other setting of the provider begins like one.
    return json.loads(value) if value[:1] in ("[", "{") else value
