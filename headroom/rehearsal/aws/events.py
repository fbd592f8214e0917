"""EventBridge of the simulated AWS: what moto lacks of connections.

A connection's values live in a secret of EventBridge's own and are never told again (EventBridge API reference,
DescribeConnection): moto tells them, and forgets the secret when a connection is updated.
"""

import json
from typing import Any

from moto.core.utils import pascal_to_camelcase
from moto.events import urls
from moto.events.responses import EventsHandler
from moto.secretsmanager.models import secretsmanager_backends

VALUES = frozenset({"ApiKeyValue", "Password", "ClientSecret"})
"""What DescribeConnection leaves out; of other parameters the value, where it is a secret."""


class RehearsalEvents(EventsHandler):
    """EventBridge of one Region."""

    def describe_connection(self) -> tuple[str, dict[str, Any]]:
        """DescribeConnection, without what is secret."""
        body, headers = super().describe_connection()
        described = json.loads(body)
        described["AuthParameters"] = _told(described["AuthParameters"])
        return json.dumps(described), headers

    def update_connection(self) -> tuple[str, dict[str, Any]]:
        """UpdateConnection; its secret gets the new values."""
        answer = super().update_connection()
        connection = self.events_backend.connections[self._get_param("Name")]
        values: dict[str, Any] = {}
        for name, value in connection.auth_parameters.items():
            values.update({name: value} if name == "InvocationHttpParameters" else value)
        secrets = secretsmanager_backends[self.current_account][self.region]
        secret = secrets.secrets.get(connection.secret_arn)
        if secret is None or secret.default_version_id is None:
            raise KeyError(f"the connection {connection.name} has lost its secret")
        secret.versions[secret.default_version_id]["secret_string"] = json.dumps(_underscored(values))
        return answer


def _told(parameters: Any) -> Any:
    if isinstance(parameters, list):
        return [_told(each) for each in parameters]
    if not isinstance(parameters, dict):
        return parameters
    hidden = VALUES | ({"Value"} if parameters.get("IsValueSecret") else set())
    return {name: _told(value) for name, value in parameters.items() if name not in hidden}


def _underscored(value: Any) -> Any:
    """The form in which moto keeps the values of a new connection."""
    if isinstance(value, list):
        return [_underscored(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {_snake(name): _underscored(item) for name, item in value.items()}


def _snake(name: str) -> str:
    camel = pascal_to_camelcase(name)
    return "".join(f"_{each.lower()}" if each.isupper() else each for each in camel)


def install() -> None:
    """Puts it in the place of moto's own; once in a process, before the first request."""
    urls.url_paths["{0}/$"] = RehearsalEvents.dispatch
