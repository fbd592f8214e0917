"""Stand-in resource types for what the watch stack makes: function, schedule, queue, alarms, dashboard.

Physical names are made of the URN, so that a rehearsal repeats itself; the real provider draws them by lot.
"""

import io
import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError

from headroom.rehearsal.aws.settings import ACCOUNT
from headroom.rehearsal.providers.aws_api import AwsKind, TaggedKind, code_of, region_of, tag_list, tags_of
from headroom.rehearsal.providers.common import Call, Change, Failure, Found, ProviderError, name_of
from headroom.rehearsal.providers.values import UNKNOWN, Properties, is_empty

GONE = frozenset(
    {
        "AWS.SimpleQueueService.NonExistentQueue",
        "QueueDoesNotExist",
        "NoSuchEntity",
        "ResourceNotFoundException",
        "ResourceNotFound",
        "DashboardNotFoundError",
    }
)
"""Error codes that say that a thing is not there, of any of these services."""

SERVICES = {
    "cloudwatch": "CloudWatch",
    "events": "EventBridge",
    "iam": "IAM",
    "lambda": "Lambda",
    "logs": "CloudWatch Logs",
    "sqs": "SQS",
}
"""What the AWS SDK for Go calls a service in its errors."""

JSON_TEXTS = frozenset({"assumeRolePolicy", "policy", "dashboardBody"})
"""Properties that the real provider compares as JSON."""


def physical_name(call: Call) -> str:
    """The name that the real provider would give: the logical one and seven digits; here always the same ones."""
    return f"{name_of(call.urn)}-{zlib.crc32(call.urn.encode()):08x}"[:-1]


def picked(inputs: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """A request's parameters out of the inputs that are there."""
    return {theirs: inputs[ours] for ours, theirs in names.items() if inputs.get(ours) is not None}


def shown(described: Mapping[str, Any], names: Mapping[str, str]) -> Properties:
    """Properties out of what AWS describes."""
    return {ours: described[theirs] for ours, theirs in names.items() if described.get(theirs) is not None}


class _Named(AwsKind):
    """A type that gets a name where the program gives none, and whose texts may be JSON."""

    named = True

    def explain(self, doing: str, error: Exception) -> str | None:
        """The text for an error of the AWS SDK, with the name of the service."""
        text = super().explain(doing, error)
        return (
            None
            if text is None
            else text.replace("operation error EC2", f"operation error {SERVICES[self.service]}", 1)
        )

    def with_defaults(self, call: Call, inputs: Properties) -> Properties:
        """As any type; a name is made up where there is none."""
        given = super().with_defaults(call, inputs)
        return given if not self.named or given.get("name") else {**given, "name": physical_name(call)}

    def compared(self, call: Call, name: str, value: Any) -> Any:
        """Policies and dashboards are compared as JSON."""
        del call
        if name in JSON_TEXTS and isinstance(value, str) and value != UNKNOWN:
            try:
                return json.dumps(json.loads(value), sort_keys=True)
            except ValueError:
                return value
        return value

    def describe(self, call: Call, identifier: str, state: Properties) -> Properties | None:
        """The resource as AWS has it, or None."""
        raise NotImplementedError  # abstract: each resource type has its own

    def read(self, call: Call, identifier: str, state: Properties, inputs: Properties) -> Found | None:
        """As AWS describes it; what AWS does not tell stays as it was."""
        try:
            present = self.describe(call, identifier, state)
        except ClientError as error:
            if code_of(error) in GONE:
                return None
            raise
        if present is None:
            return None
        return self.found({**state, **self.region(call, state), **present}, inputs)

    def region(self, call: Call, inputs: Mapping[str, Any]) -> Properties:
        """The property `region`, for types that have it."""
        return {"region": region_of(call, inputs)}

    def put(self, call: Call, identifier: str, inputs: Properties) -> Properties:
        """Creates or overwrites; gives what AWS adds to the inputs."""
        raise NotImplementedError  # abstract: each resource type has its own

    def identifier(self, inputs: Properties) -> str:
        """The id that a resource with these inputs has."""
        return str(inputs["name"])

    def create(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        """Creates it."""
        identifier = self.identifier(inputs)
        added = self.put(call, identifier, inputs)
        return identifier, {**inputs, **self.region(call, inputs), **added}

    def update(self, call: Call, identifier: str, change: Change) -> Properties:
        """Overwrites it: these services take the whole each time."""
        added = self.put(call, identifier, change.new_inputs)
        kept = {name: change.old_state[name] for name in self.outputs if name in change.old_state}
        return {**kept, **change.new_inputs, **self.region(call, change.new_inputs), **added}

    def remove(self, call: Call, identifier: str, state: Properties) -> None:
        """Takes it away."""
        raise NotImplementedError  # abstract: each resource type has its own

    def delete(self, call: Call, identifier: str, state: Properties) -> None:
        """Takes it away; no error if it has gone."""
        try:
            self.remove(call, identifier, state)
        except ClientError as error:
            if code_of(error) not in GONE:
                raise


class _Tagged(TaggedKind, _Named):
    """The same with tags, which each service keeps in its own way."""

    def with_defaults(self, call: Call, inputs: Properties) -> Properties:
        """A name, and the provider's tags."""
        return TaggedKind.with_defaults(self, call, _Named.with_defaults(self, call, inputs))

    def tagged(self, inputs: Mapping[str, Any]) -> Properties:
        """`tags` and `tagsAll` as they were written."""
        return {"tagsAll": self.all_tags(inputs)}


class Queue(_Tagged):
    """An SQS queue."""

    service = "sqs"
    token = "aws:sqs/queue:Queue"  # noqa: S105  # no secret
    title = "SQS Queue"
    optional = frozenset({"messageRetentionSeconds", "sqsManagedSseEnabled", "tags"})
    optional_computed = frozenset({"name"})
    not_simulated = frozenset(
        {
            "contentBasedDeduplication",
            "deduplicationScope",
            "delaySeconds",
            "fifoQueue",
            "fifoThroughputLimit",
            "kmsDataKeyReusePeriodSeconds",
            "kmsMasterKeyId",
            "maxMessageSize",
            "namePrefix",
            "policy",
            "receiveWaitTimeSeconds",
            "redriveAllowPolicy",
            "redrivePolicy",
            "visibilityTimeoutSeconds",
        }
    )
    outputs = frozenset({"arn", "tagsAll", "url"})
    replaces = frozenset({"name"})

    def put(self, call: Call, identifier: str, inputs: Properties) -> Properties:
        """CreateQueue, or SetQueueAttributes for one that is there."""
        sqs = self.api(call, inputs)
        attributes = {"MessageRetentionPeriod": str(inputs.get("messageRetentionSeconds") or 345_600)}
        attributes["SqsManagedSseEnabled"] = "true" if inputs.get("sqsManagedSseEnabled", True) else "false"
        try:
            url = sqs.get_queue_url(QueueName=identifier)["QueueUrl"]
            sqs.set_queue_attributes(QueueUrl=url, Attributes=attributes)
        except ClientError as error:
            if code_of(error) not in GONE:
                raise
            answer = sqs.create_queue(QueueName=identifier, Attributes=attributes, tags=self.all_tags(inputs))
            url = answer["QueueUrl"]
        _set_tags(sqs.list_queue_tags, sqs.tag_queue, sqs.untag_queue, self.all_tags(inputs), QueueUrl=url)
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        return {"arn": arn, "url": url, **self.tagged(inputs)}

    def describe(self, call: Call, identifier: str, state: Properties) -> Properties | None:
        """GetQueueAttributes."""
        sqs = self.api(call, state)
        url = sqs.get_queue_url(QueueName=identifier)["QueueUrl"]
        found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        return {
            "name": identifier,
            "arn": found["QueueArn"],
            "url": url,
            "messageRetentionSeconds": int(found["MessageRetentionPeriod"]),
            **self.shown_tags(sqs.list_queue_tags(QueueUrl=url).get("Tags", {})),
        }

    def remove(self, call: Call, identifier: str, state: Properties) -> None:
        """DeleteQueue."""
        sqs = self.api(call, state)
        sqs.delete_queue(QueueUrl=sqs.get_queue_url(QueueName=identifier)["QueueUrl"])


def _set_tags(listed: Any, tag: Any, untag: Any, wanted: Mapping[str, str], **resource: str) -> None:
    present = listed(**resource).get("Tags", {})
    if gone := sorted(present.keys() - wanted.keys()):
        untag(**resource, TagKeys=gone)
    if wanted:
        tag(**resource, Tags=dict(wanted))


class LogGroup(_Tagged):
    """A log group."""

    service = "logs"
    token = "aws:cloudwatch/logGroup:LogGroup"  # noqa: S105  # no secret
    title = "CloudWatch Logs Log Group"
    optional = frozenset({"retentionInDays", "tags"})
    optional_computed = frozenset({"name"})
    not_simulated = frozenset({"deletionProtectionEnabled", "kmsKeyId", "logGroupClass", "namePrefix", "skipDestroy"})
    outputs = frozenset({"arn", "tagsAll"})
    replaces = frozenset({"name"})

    def put(self, call: Call, identifier: str, inputs: Properties) -> Properties:
        """CreateLogGroup and PutRetentionPolicy."""
        logs = self.api(call, inputs)
        if self._find(logs, identifier) is None:
            logs.create_log_group(logGroupName=identifier, tags=self.all_tags(inputs))
        if inputs.get("retentionInDays"):
            logs.put_retention_policy(logGroupName=identifier, retentionInDays=inputs["retentionInDays"])
        found = self._find(logs, identifier) or {}
        return {"arn": _without_star(found["arn"]), **self.tagged(inputs)}

    def describe(self, call: Call, identifier: str, state: Properties) -> Properties | None:
        """DescribeLogGroups."""
        found = self._find(self.api(call, state), identifier)
        if found is None:
            return None
        return {"name": identifier, "arn": _without_star(found["arn"]), "retentionInDays": found.get("retentionInDays")}

    def remove(self, call: Call, identifier: str, state: Properties) -> None:
        """DeleteLogGroup."""
        self.api(call, state).delete_log_group(logGroupName=identifier)

    @staticmethod
    def _find(logs: Any, name: str) -> Mapping[str, Any] | None:
        groups = logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
        return next((each for each in groups if each["logGroupName"] == name), None)


def _without_star(arn: str) -> str:
    return arn.removesuffix(":*")


class _Global(_Named):
    """A type of IAM: it has no Region."""

    service = "iam"

    @property
    def inputs(self) -> frozenset[str]:
        """All inputs; no Region among them."""
        return super().inputs - {"region"}

    def region(self, call: Call, inputs: Mapping[str, Any]) -> Properties:
        """None."""
        del call, inputs
        return {}

    def preview_create(self, call: Call, inputs: Properties) -> Properties:
        """The state that a creation would have."""
        found = super().preview_create(call, inputs)
        found.pop("region", None)
        return found


class Role(_Tagged, _Global):
    """An IAM role."""

    service = "iam"
    token = "aws:iam/role:Role"  # noqa: S105  # no secret
    title = "IAM Role"
    required = frozenset({"assumeRolePolicy"})
    optional = frozenset({"description", "tags"})
    optional_computed = frozenset({"name"})
    not_simulated = frozenset(
        {
            "forceDetachPolicies",
            "inlinePolicies",
            "managedPolicyArns",
            "maxSessionDuration",
            "namePrefix",
            "path",
            "permissionsBoundary",
        }
    )
    outputs = frozenset({"arn", "createDate", "tagsAll", "uniqueId"})
    replaces = frozenset({"name"})

    def preview_create(self, call: Call, inputs: Properties) -> Properties:
        """The state that a creation would have."""
        found = super().preview_create(call, inputs)
        found.pop("region", None)
        return found

    def put(self, call: Call, identifier: str, inputs: Properties) -> Properties:
        """CreateRole, or UpdateAssumeRolePolicy for one that is there."""
        iam = self.api(call, inputs)
        try:
            found = iam.get_role(RoleName=identifier)["Role"]
            iam.update_assume_role_policy(RoleName=identifier, PolicyDocument=inputs["assumeRolePolicy"])
        except ClientError as error:
            if code_of(error) not in GONE:
                raise
            found = iam.create_role(
                RoleName=identifier,
                AssumeRolePolicyDocument=inputs["assumeRolePolicy"],
                Description=inputs.get("description", ""),
                Tags=tag_list(self.all_tags(inputs)),
            )["Role"]
        return {
            "arn": found["Arn"],
            "uniqueId": found["RoleId"],
            "createDate": found["CreateDate"].isoformat(),
            **self.tagged(inputs),
        }

    def describe(self, call: Call, identifier: str, state: Properties) -> Properties | None:
        """GetRole."""
        found = self.api(call, state).get_role(RoleName=identifier)["Role"]
        return {
            "name": identifier,
            "arn": found["Arn"],
            "assumeRolePolicy": json.dumps(found["AssumeRolePolicyDocument"]),
            **self.shown_tags(tags_of(found.get("Tags", []))),
        }

    def remove(self, call: Call, identifier: str, state: Properties) -> None:
        """DeleteRole."""
        self.api(call, state).delete_role(RoleName=identifier)


class RolePolicy(_Global):
    """An inline policy of a role."""

    token = "aws:iam/rolePolicy:RolePolicy"  # noqa: S105  # no secret
    title = "IAM Role Policy"
    required = frozenset({"policy", "role"})
    optional_computed = frozenset({"name"})
    not_simulated = frozenset({"namePrefix"})
    replaces = frozenset({"name", "role"})

    def identifier(self, inputs: Properties) -> str:
        """`ROLE:NAME`."""
        return f"{inputs['role']}:{inputs['name']}"

    def put(self, call: Call, identifier: str, inputs: Properties) -> Properties:
        """PutRolePolicy."""
        role, _, name = identifier.partition(":")
        self.api(call, inputs).put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=inputs["policy"])
        return {}

    def describe(self, call: Call, identifier: str, state: Properties) -> Properties | None:
        """GetRolePolicy."""
        role, _, name = identifier.partition(":")
        found = self.api(call, state).get_role_policy(RoleName=role, PolicyName=name)
        return {"role": role, "name": name, "policy": json.dumps(found["PolicyDocument"])}

    def remove(self, call: Call, identifier: str, state: Properties) -> None:
        """DeleteRolePolicy."""
        role, _, name = identifier.partition(":")
        self.api(call, state).delete_role_policy(RoleName=role, PolicyName=name)


class Function(_Tagged):
    """A Lambda function whose code is an archive of texts."""

    service = "lambda"
    token = "aws:lambda/function:Function"  # noqa: S105  # no secret
    title = "Lambda Function"
    required = frozenset({"role"})
    optional = frozenset(
        {
            "architectures",
            "code",
            "deadLetterConfig",
            "description",
            "environment",
            "handler",
            "loggingConfig",
            "memorySize",
            "reservedConcurrentExecutions",
            "runtime",
            "tags",
            "timeout",
        }
    )
    optional_computed = frozenset({"name"})
    not_simulated = frozenset(
        {
            "capacityProviderConfig",
            "codeSha256",
            "codeSigningConfigArn",
            "durableConfig",
            "ephemeralStorage",
            "fileSystemConfig",
            "imageConfig",
            "imageUri",
            "kmsKeyArn",
            "layers",
            "packageType",
            "publish",
            "publishTo",
            "replaceSecurityGroupsOnDestroy",
            "replacementSecurityGroupIds",
            "s3Bucket",
            "s3Key",
            "s3ObjectVersion",
            "skipDestroy",
            "snapStart",
            "sourceCodeHash",
            "sourceKmsKeyArn",
            "tenancyConfig",
            "tracingConfig",
            "useResourceTimeoutForPropagation",
            "vpcConfig",
        }
    )
    outputs = frozenset(
        {
            "arn",
            "invokeArn",
            "lastModified",
            "qualifiedArn",
            "qualifiedInvokeArn",
            "responseStreamingInvokeArn",
            "signingJobArn",
            "signingProfileVersionArn",
            "sourceCodeSize",
            "tagsAll",
            "version",
        }
    )
    replaces = frozenset({"name"})
    write_only = frozenset({"code", "loggingConfig", "deadLetterConfig"})

    settings = {  # noqa: RUF012 - a table
        "description": "Description",
        "handler": "Handler",
        "memorySize": "MemorySize",
        "role": "Role",
        "runtime": "Runtime",
        "timeout": "Timeout",
    }

    def compared(self, call: Call, name: str, value: Any) -> Any:
        """Archives are compared by the engine's hash of their content."""
        if name == "code" and isinstance(value, dict):
            return value.get("hash")
        return super().compared(call, name, value)

    def put(self, call: Call, identifier: str, inputs: Properties) -> Properties:
        """CreateFunction, or its two updates; then the concurrency that is reserved."""
        api = self.api(call, inputs)
        variables = (inputs.get("environment") or {}).get("variables") or {}
        queue = (inputs.get("deadLetterConfig") or {}).get("targetArn")
        request = {
            "FunctionName": identifier,
            **picked(inputs, self.settings),
            "Environment": {"Variables": variables},
            **({"DeadLetterConfig": {"TargetArn": queue}} if queue else {}),
        }
        package = zipped(inputs["code"])
        try:
            api.get_function(FunctionName=identifier)
            api.update_function_configuration(**request)
            found = api.update_function_code(FunctionName=identifier, ZipFile=package)
        except ClientError as error:
            if code_of(error) not in GONE:
                raise
            found = api.create_function(
                **request,
                Code={"ZipFile": package},
                Architectures=inputs.get("architectures") or ["x86_64"],
                Tags=self.all_tags(inputs),
            )
        reserved = inputs.get("reservedConcurrentExecutions")
        if reserved is not None:
            api.put_function_concurrency(FunctionName=identifier, ReservedConcurrentExecutions=reserved)
        return {
            "arn": found["FunctionArn"],
            "lastModified": found["LastModified"],
            "sourceCodeSize": found["CodeSize"],
            "version": found["Version"],
            **self.tagged(inputs),
        }

    def describe(self, call: Call, identifier: str, state: Properties) -> Properties | None:
        """GetFunction."""
        answer = self.api(call, state).get_function(FunctionName=identifier)
        found = answer["Configuration"]
        return {
            **shown(found, self.settings),
            "name": identifier,
            "arn": found["FunctionArn"],
            "architectures": found.get("Architectures"),
            "environment": {"variables": (found.get("Environment") or {}).get("Variables", {})},
            "reservedConcurrentExecutions": answer.get("Concurrency", {}).get("ReservedConcurrentExecutions"),
            **self.shown_tags(answer.get("Tags", {})),
        }

    def remove(self, call: Call, identifier: str, state: Properties) -> None:
        """DeleteFunction."""
        self.api(call, state).delete_function(FunctionName=identifier)


def zipped(archive: Mapping[str, Any]) -> bytes:
    """An archive as it comes over the wire, as Lambda takes it; the same texts give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as package:
        for name, asset in sorted((archive.get("assets") or {}).items()):
            if "text" not in asset:
                raise ProviderError(f"The rehearsal's stand-in takes archives of texts only, and {name} is none.")
            package.writestr(zipfile.ZipInfo(name), asset["text"])
    return buffer.getvalue()


class FunctionEventInvokeConfig(_Named):
    """How often Lambda repeats an event that failed."""

    service = "lambda"
    token = "aws:lambda/functionEventInvokeConfig:FunctionEventInvokeConfig"  # noqa: S105  # no secret
    title = "Lambda Function Event Invoke Config"
    named = False
    required = frozenset({"functionName"})
    optional = frozenset({"maximumEventAgeInSeconds", "maximumRetryAttempts"})
    not_simulated = frozenset({"destinationConfig", "qualifier"})
    replaces = frozenset({"functionName"})
    settings = {  # noqa: RUF012 - a table
        "maximumEventAgeInSeconds": "MaximumEventAgeInSeconds",
        "maximumRetryAttempts": "MaximumRetryAttempts",
    }

    def identifier(self, inputs: Properties) -> str:
        """The function's name."""
        return str(inputs["functionName"])

    def put(self, call: Call, identifier: str, inputs: Properties) -> Properties:
        """PutFunctionEventInvokeConfig."""
        request = picked(inputs, self.settings)
        self.api(call, inputs).put_function_event_invoke_config(FunctionName=identifier, **request)
        return {}

    def describe(self, call: Call, identifier: str, state: Properties) -> Properties | None:
        """GetFunctionEventInvokeConfig."""
        found = self.api(call, state).get_function_event_invoke_config(FunctionName=identifier)
        return {"functionName": identifier, **shown(found, self.settings)}

    def remove(self, call: Call, identifier: str, state: Properties) -> None:
        """DeleteFunctionEventInvokeConfig."""
        self.api(call, state).delete_function_event_invoke_config(FunctionName=identifier)


class Permission(_Named):
    """Who may invoke a function."""

    service = "lambda"
    token = "aws:lambda/permission:Permission"  # noqa: S105  # no secret
    title = "Lambda Permission"
    named = False
    required = frozenset({"action", "function", "principal"})
    optional = frozenset({"sourceArn"})
    optional_computed = frozenset({"statementId"})
    not_simulated = frozenset(
        {
            "eventSourceToken",
            "functionUrlAuthType",
            "invokedViaFunctionUrl",
            "principalOrgId",
            "qualifier",
            "sourceAccount",
            "statementIdPrefix",
        }
    )
    replaces = frozenset({"action", "function", "principal", "sourceArn", "statementId"})

    def with_defaults(self, call: Call, inputs: Properties) -> Properties:
        """As any type; a statement id is made up where there is none."""
        given = super().with_defaults(call, inputs)
        return given if given.get("statementId") else {**given, "statementId": physical_name(call)}

    def identifier(self, inputs: Properties) -> str:
        """The statement's id."""
        return str(inputs["statementId"])

    def put(self, call: Call, identifier: str, inputs: Properties) -> Properties:
        """AddPermission."""
        request = picked(inputs, {"action": "Action", "principal": "Principal", "sourceArn": "SourceArn"})
        self.api(call, inputs).add_permission(FunctionName=inputs["function"], StatementId=identifier, **request)
        return {}

    def describe(self, call: Call, identifier: str, state: Properties) -> Properties | None:
        """GetPolicy."""
        policy = json.loads(self.api(call, state).get_policy(FunctionName=state["function"])["Policy"])
        there = any(each.get("Sid") == identifier for each in policy["Statement"])
        return {"statementId": identifier} if there else None

    def remove(self, call: Call, identifier: str, state: Properties) -> None:
        """RemovePermission."""
        self.api(call, state).remove_permission(FunctionName=state["function"], StatementId=identifier)


class EventRule(_Tagged):
    """A rule of EventBridge's default bus."""

    service = "events"
    token = "aws:cloudwatch/eventRule:EventRule"  # noqa: S105  # no secret
    title = "EventBridge Rule"
    optional = frozenset({"description", "eventPattern", "scheduleExpression", "tags"})
    optional_computed = frozenset({"name", "state"})
    not_simulated = frozenset({"eventBusName", "forceDestroy", "isEnabled", "namePrefix", "roleArn"})
    outputs = frozenset({"arn", "tagsAll"})
    replaces = frozenset({"name"})
    settings = {  # noqa: RUF012 - a table
        "description": "Description",
        "eventPattern": "EventPattern",
        "scheduleExpression": "ScheduleExpression",
        "state": "State",
    }

    def put(self, call: Call, identifier: str, inputs: Properties) -> Properties:
        """PutRule."""
        request = {"Name": identifier, "Tags": tag_list(self.all_tags(inputs)), **picked(inputs, self.settings)}
        return {"arn": self.api(call, inputs).put_rule(**request)["RuleArn"], **self.tagged(inputs)}

    def describe(self, call: Call, identifier: str, state: Properties) -> Properties | None:
        """DescribeRule."""
        found = self.api(call, state).describe_rule(Name=identifier)
        return {"name": identifier, "arn": found["Arn"], **shown(found, self.settings)}

    def remove(self, call: Call, identifier: str, state: Properties) -> None:
        """DeleteRule."""
        self.api(call, state).delete_rule(Name=identifier)


class EventTarget(_Named):
    """What a rule of EventBridge sends its events to."""

    service = "events"
    token = "aws:cloudwatch/eventTarget:EventTarget"  # noqa: S105  # no secret
    title = "EventBridge Target"
    named = False
    required = frozenset({"arn", "rule"})
    optional = frozenset({"deadLetterConfig", "httpTarget", "input", "inputTransformer", "retryPolicy", "roleArn"})
    optional_computed = frozenset({"targetId"})
    not_simulated = frozenset(
        {
            "appsyncTarget",
            "batchTarget",
            "ecsTarget",
            "eventBusName",
            "forceDestroy",
            "inputPath",
            "kinesisTarget",
            "redshiftTarget",
            "runCommandTargets",
            "sagemakerPipelineTarget",
            "sqsTarget",
        }
    )
    replaces = frozenset({"rule", "targetId"})

    def with_defaults(self, call: Call, inputs: Properties) -> Properties:
        """As any type; a target id is made up where there is none."""
        given = super().with_defaults(call, inputs)
        return given if given.get("targetId") else {**given, "targetId": physical_name(call)}

    def identifier(self, inputs: Properties) -> str:
        """`RULE-TARGET`."""
        return f"{inputs['rule']}-{inputs['targetId']}"

    def put(self, call: Call, identifier: str, inputs: Properties) -> Properties:
        """PutTargets."""
        retry = picked(
            inputs.get("retryPolicy") or {},
            {"maximumEventAgeInSeconds": "MaximumEventAgeInSeconds", "maximumRetryAttempts": "MaximumRetryAttempts"},
        )
        plain = picked(inputs, {"input": "Input", "roleArn": "RoleArn"})
        target = {"Id": inputs["targetId"], "Arn": inputs["arn"], **plain}
        if retry:
            target["RetryPolicy"] = retry
        if inputs.get("inputTransformer"):
            names = {"inputPaths": "InputPathsMap", "inputTemplate": "InputTemplate"}
            target["InputTransformer"] = picked(inputs["inputTransformer"], names)
        if inputs.get("httpTarget"):
            names = {"headerParameters": "HeaderParameters", "queryStringParameters": "QueryStringParameters"}
            target["HttpParameters"] = picked(inputs["httpTarget"], names)
        if inputs.get("deadLetterConfig"):
            target["DeadLetterConfig"] = picked(inputs["deadLetterConfig"], {"arn": "Arn"})
        answer = self.api(call, inputs).put_targets(Rule=inputs["rule"], Targets=[target])
        if answer.get("FailedEntryCount"):
            raise ProviderError(f"creating {self.title} ({identifier}): {answer['FailedEntries']}")
        return {}

    def describe(self, call: Call, identifier: str, state: Properties) -> Properties | None:
        """ListTargetsByRule."""
        del identifier
        targets = self.api(call, state).list_targets_by_rule(Rule=state["rule"])["Targets"]
        found = next((each for each in targets if each["Id"] == state["targetId"]), None)
        return None if found is None else {"arn": found["Arn"], **shown(found, {"roleArn": "RoleArn"})}

    def remove(self, call: Call, identifier: str, state: Properties) -> None:
        """RemoveTargets."""
        del identifier
        self.api(call, state).remove_targets(Rule=state["rule"], Ids=[state["targetId"]])


class MetricAlarm(_Tagged):
    """An alarm on a metric, or on metric queries."""

    service = "cloudwatch"
    token = "aws:cloudwatch/metricAlarm:MetricAlarm"  # noqa: S105  # no secret
    title = "CloudWatch Metric Alarm"
    optional = frozenset(
        {
            "actionsEnabled",
            "alarmActions",
            "alarmDescription",
            "comparisonOperator",
            "datapointsToAlarm",
            "dimensions",
            "evaluationPeriods",
            "metricName",
            "metricQueries",
            "namespace",
            "okActions",
            "period",
            "statistic",
            "tags",
            "threshold",
            "thresholdMetricId",
            "treatMissingData",
        }
    )
    optional_computed = frozenset({"name"})
    not_simulated = frozenset(
        {
            "evaluateLowSampleCountPercentiles",
            "evaluationCriteria",
            "evaluationInterval",
            "evaluationWindow",
            "extendedStatistic",
            "insufficientDataActions",
            "unit",
            "warmUpConfiguration",
        }
    )
    outputs = frozenset({"arn", "tagsAll"})
    replaces = frozenset({"name"})
    settings = {  # noqa: RUF012 - a table
        "actionsEnabled": "ActionsEnabled",
        "alarmActions": "AlarmActions",
        "alarmDescription": "AlarmDescription",
        "comparisonOperator": "ComparisonOperator",
        "datapointsToAlarm": "DatapointsToAlarm",
        "evaluationPeriods": "EvaluationPeriods",
        "metricName": "MetricName",
        "namespace": "Namespace",
        "okActions": "OKActions",
        "period": "Period",
        "statistic": "Statistic",
        "threshold": "Threshold",
        "thresholdMetricId": "ThresholdMetricId",
        "treatMissingData": "TreatMissingData",
    }

    def with_defaults(self, call: Call, inputs: Properties) -> Properties:
        """As any type; actions are enabled unless told otherwise (pulumi-aws, MetricAlarm)."""
        return {"actionsEnabled": True, **super().with_defaults(call, inputs)}

    def check(self, call: Call, inputs: Properties) -> list[Failure]:
        """It looks at a metric or at queries, and an alarm on a band has no threshold of its own."""
        failures = super().check(call, inputs)
        if inputs.get("metricName") and inputs.get("metricQueries"):
            failures.append(Failure("metricName", '"metric_name": conflicts with metric_query'))
        if inputs.get("threshold") is not None and inputs.get("thresholdMetricId"):
            failures.append(Failure("threshold", '"threshold": conflicts with threshold_metric_id'))
        return failures

    def put(self, call: Call, identifier: str, inputs: Properties) -> Properties:
        """PutMetricAlarm."""
        cloudwatch = self.api(call, inputs)
        request = {"AlarmName": identifier, **picked(inputs, self.settings)}
        if inputs.get("metricQueries"):
            request["Metrics"] = [_query(each) for each in inputs["metricQueries"]]
        else:
            request["Dimensions"] = _dimensions(inputs.get("dimensions") or {})
        cloudwatch.put_metric_alarm(**request, Tags=tag_list(self.all_tags(inputs)))
        return {"arn": _alarm_arn(call, inputs, identifier), **self.tagged(inputs)}

    def describe(self, call: Call, identifier: str, state: Properties) -> Properties | None:
        """DescribeAlarms."""
        alarms = self.api(call, state).describe_alarms(AlarmNames=[identifier])["MetricAlarms"]
        if not alarms:
            return None
        present = shown(alarms[0], self.settings)
        if alarms[0].get("Dimensions"):
            present["dimensions"] = {each["Name"]: each["Value"] for each in alarms[0]["Dimensions"]}
        return {"name": identifier, **present}

    def remove(self, call: Call, identifier: str, state: Properties) -> None:
        """DeleteAlarms."""
        self.api(call, state).delete_alarms(AlarmNames=[identifier])


def _dimensions(place: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Name": name, "Value": value} for name, value in sorted(place.items())]


def _query(query: Mapping[str, Any]) -> dict[str, Any]:
    found = picked(query, {"id": "Id", "expression": "Expression", "label": "Label", "returnData": "ReturnData"})
    if query.get("metric"):
        metric = query["metric"]
        named = picked(metric, {"namespace": "Namespace", "metricName": "MetricName"})
        named["Dimensions"] = _dimensions(metric.get("dimensions") or {})
        found["MetricStat"] = {"Metric": named, **picked(metric, {"period": "Period", "stat": "Stat"})}
    return found


def _composites(cloudwatch: Any) -> Sequence[Mapping[str, Any]]:
    found: Sequence[Mapping[str, Any]] = cloudwatch.describe_alarms(AlarmTypes=["CompositeAlarm"]).get(
        "CompositeAlarms", []
    )
    return found


def _alarm_arn(call: Call, inputs: Mapping[str, Any], name: str) -> str:
    return f"arn:aws:cloudwatch:{region_of(call, inputs)}:{ACCOUNT}:alarm:{name}"


class CompositeAlarm(_Tagged):
    """An alarm over other alarms."""

    service = "cloudwatch"
    token = "aws:cloudwatch/compositeAlarm:CompositeAlarm"  # noqa: S105  # no secret
    title = "CloudWatch Composite Alarm"
    named = False
    required = frozenset({"alarmName", "alarmRule"})
    optional = frozenset({"actionsEnabled", "alarmActions", "alarmDescription", "okActions", "tags"})
    not_simulated = frozenset({"actionsSuppressor", "insufficientDataActions"})
    outputs = frozenset({"arn", "tagsAll"})
    replaces = frozenset({"alarmName"})
    settings = {  # noqa: RUF012 - a table
        "actionsEnabled": "ActionsEnabled",
        "alarmActions": "AlarmActions",
        "alarmDescription": "AlarmDescription",
        "alarmRule": "AlarmRule",
        "okActions": "OKActions",
    }

    def identifier(self, inputs: Properties) -> str:
        """Its name."""
        return str(inputs["alarmName"])

    def put(self, call: Call, identifier: str, inputs: Properties) -> Properties:
        """PutCompositeAlarm."""
        cloudwatch = self.api(call, inputs)
        request = {"AlarmName": identifier, **picked(inputs, self.settings)}
        cloudwatch.put_composite_alarm(**request, Tags=tag_list(self.all_tags(inputs)))
        return {"arn": _alarm_arn(call, inputs, identifier), **self.tagged(inputs)}

    def describe(self, call: Call, identifier: str, state: Properties) -> Properties | None:
        """DescribeAlarms."""
        found = [each for each in _composites(self.api(call, state)) if each["AlarmName"] == identifier]
        return {"alarmName": identifier, **shown(found[0], self.settings)} if found else None

    def remove(self, call: Call, identifier: str, state: Properties) -> None:
        """DeleteAlarms."""
        self.api(call, state).delete_alarms(AlarmNames=[identifier])


class Dashboard(_Named):
    """A CloudWatch dashboard."""

    service = "cloudwatch"
    token = "aws:cloudwatch/dashboard:Dashboard"  # noqa: S105  # no secret
    title = "CloudWatch Dashboard"
    named = False
    required = frozenset({"dashboardBody", "dashboardName"})
    outputs = frozenset({"dashboardArn"})
    replaces = frozenset({"dashboardName"})

    def check(self, call: Call, inputs: Properties) -> list[Failure]:
        """The body has to be JSON."""
        failures = super().check(call, inputs)
        text = inputs.get("dashboardBody")
        if not is_empty(text) and text != UNKNOWN:
            try:
                json.loads(str(text))
            except ValueError as error:
                failures.append(Failure("dashboardBody", f'"dashboard_body" contains an invalid JSON: {error}'))
        return failures

    def identifier(self, inputs: Properties) -> str:
        """Its name."""
        return str(inputs["dashboardName"])

    def put(self, call: Call, identifier: str, inputs: Properties) -> Properties:
        """PutDashboard."""
        self.api(call, inputs).put_dashboard(DashboardName=identifier, DashboardBody=inputs["dashboardBody"])
        return {"dashboardArn": f"arn:aws:cloudwatch::{ACCOUNT}:dashboard/{identifier}"}

    def describe(self, call: Call, identifier: str, state: Properties) -> Properties | None:
        """GetDashboard."""
        found = self.api(call, state).get_dashboard(DashboardName=identifier)
        return {"dashboardName": identifier, "dashboardBody": found["DashboardBody"]}

    def remove(self, call: Call, identifier: str, state: Properties) -> None:
        """DeleteDashboards."""
        self.api(call, state).delete_dashboards(DashboardNames=[identifier])


KINDS = (
    Queue(),
    LogGroup(),
    Role(),
    RolePolicy(),
    Function(),
    FunctionEventInvokeConfig(),
    Permission(),
    EventRule(),
    EventTarget(),
    MetricAlarm(),
    CompositeAlarm(),
    Dashboard(),
)
