"""Which action a request to a REST API of AWS is, by the API's own description in botocore."""

import re
from typing import Any
from urllib.parse import unquote

from botocore.model import ServiceModel


class RestRoutes:
    """Method and path to action, for one service."""

    def __init__(self, model: ServiceModel) -> None:
        routes: list[tuple[str, re.Pattern[str], str]] = []
        for name in model.operation_names:
            http: dict[str, Any] = model.operation_model(name).http
            uri = http["requestUri"].split("?")[0].rstrip("/")
            pattern = re.sub(r"\\\{(\w+)\\\}", _placeholder, re.escape(uri))
            routes.append((http["method"], re.compile(pattern), name))
        # Fixed words before placeholders, so that /addons/supported-versions is not taken for a name.
        self._routes = sorted(routes, key=lambda route: route[1].pattern.count("(?P<"))

    def match(self, method: str, path: str) -> tuple[str, dict[str, str]]:
        """The action and the parameters in the path; without a match, method and path stand for the action."""
        for wanted, pattern, name in self._routes:
            found = pattern.fullmatch(path.rstrip("/")) if wanted == method else None
            if found:
                return name, {key: unquote(value) for key, value in found.groupdict().items()}
        return f"{method} {path}", {}


def _placeholder(found: re.Match[str]) -> str:
    """A name has no slash; an ARN may have some, and WSGI hands paths over decoded."""
    return f"(?P<{found[1]}>{'.+' if found[1].endswith('Arn') else '[^/]+'})"
