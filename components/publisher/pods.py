"""Which addresses pods have: the one thing about addresses that EC2 does not know and the Kubernetes API does.

One list of pods a run, in pages, as tables: those have a row of a few hundred bytes a pod, and no specification
(Kubernetes, API concepts, receiving resources as tables). The function signs in as its role, by a signed request to STS
that the cluster sends for it (EKS user guide, cluster-auth; aws-cli, `aws eks get-token`).
"""

import base64
import json
import ssl
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from headroom.addresses.blocks import parse_address
from headroom.addresses.problems import ProblemsError

PAGE: Final = 2000
"""Pods asked for at once."""

TIMEOUT_SECONDS: Final = 20

TOKEN_SECONDS: Final = 60
"""How long a signed request is good for, as aws-cli signs it."""

EXPIRED: Final = 410
"""A list that went on too long (Kubernetes, API concepts, retrieving large results in chunks): it is begun anew."""

ACCEPT: Final = "application/json;as=Table;v=v1;g=meta.k8s.io"
RUNNING: Final = "status.phase!=Succeeded,status.phase!=Failed"
"""Pods that have ended keep their address in their status, and nowhere else."""

Fetch = Callable[[str, Mapping[str, str]], bytes]
"""Gives what an address answers to a GET with these headers."""


class PodsError(Exception):
    """The pods could not be read; says why."""


def pod_addresses(cluster: str, client: Callable[[str], Any], now: Callable[[str], Fetch] | None = None) -> set[int]:
    """The IPv4 addresses of all pods of a cluster that have not ended, those that share their node's among them.

    Args:
        cluster: Its name.
        client: Makes a boto3 client by the name of its service.
        now: Makes what fetches, from the cluster's certificate authority; by default, over HTTPS.

    Raises:
        PodsError: The cluster does not answer, or refuses.
        ClientError: AWS refuses.
    """
    found = client("eks").describe_cluster(name=cluster)["cluster"]
    authority = base64.b64decode(found["certificateAuthority"]["data"]).decode("ascii")
    fetch = (now or https)(authority)
    headers = {"Authorization": f"Bearer {token(client('sts'), cluster)}", "Accept": ACCEPT}
    try:
        return _listed(found["endpoint"], headers, fetch)
    except HTTPError as error:
        if error.code == EXPIRED:
            return _listed(found["endpoint"], headers, fetch)
        raise PodsError(f"{error.code}: {_message(error)}") from error
    except (URLError, TimeoutError, OSError) as error:
        reason = getattr(error, "reason", error)
        raise PodsError(f"{found['endpoint']} does not answer: {reason}. A private endpoint cannot be read") from error


def token(sts: Any, cluster: str) -> str:
    """What a cluster takes for a proof of who calls: a request to STS, signed and not sent."""

    def name_cluster(request: Any, **_: Any) -> None:
        request.headers.add_header("x-k8s-aws-id", cluster)

    sts.meta.events.register("before-sign.sts.GetCallerIdentity", name_cluster)
    url = sts.generate_presigned_url("get_caller_identity", ExpiresIn=TOKEN_SECONDS, HttpMethod="GET")
    return "k8s-aws-v1." + base64.urlsafe_b64encode(url.encode()).decode().rstrip("=")


def https(authority: str) -> Fetch:
    """Fetches over HTTPS from servers that this authority vouches for, and no others."""
    context = ssl.create_default_context(cadata=authority)

    def fetch(url: str, headers: Mapping[str, str]) -> bytes:
        if not url.startswith("https://"):
            raise PodsError(f"{url} is not read: the token would go out in the clear")
        request = Request(url, headers=dict(headers))  # noqa: S310 - HTTPS, as was just asked
        with urlopen(request, timeout=TIMEOUT_SECONDS, context=context) as answer:  # noqa: S310 - the same
            body: bytes = answer.read()
        return body

    return fetch


def _listed(endpoint: str, headers: Mapping[str, str], fetch: Fetch) -> set[int]:
    found: set[int] = set()
    query = {"limit": str(PAGE), "fieldSelector": RUNNING, "includeObject": "None"}
    while True:
        page = json.loads(fetch(f"{endpoint}/api/v1/pods?{urlencode(query)}", headers))
        found |= _addresses(page)
        going_on = page.get("metadata", {}).get("continue")
        if not going_on:
            return found
        query["continue"] = going_on


def _addresses(table: Mapping[str, Any]) -> set[int]:
    names = [column.get("name") for column in table.get("columnDefinitions") or ()]
    if "IP" not in names:
        raise PodsError(f"the table of pods has no column IP, but {', '.join(map(str, names)) or 'none'}")
    place = names.index("IP")
    found = set()
    for row in table.get("rows") or ():
        try:
            found.add(parse_address(str(row["cells"][place])))
        except ProblemsError:
            # None yet, or IPv6.
            continue
    return found


def _message(error: HTTPError) -> str:
    """What the API server says; what is no answer of one is not shown."""
    try:
        text = json.loads(error.read())["message"]
    except (ValueError, KeyError, TypeError, OSError):
        return error.reason or "no reason given"
    return str(text)[:500]
