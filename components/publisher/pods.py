"""Which addresses pods have: the one thing about addresses that EC2 does not know and the Kubernetes API does.

One list of pods a run, in pages, as tables: those have a row of a few hundred bytes a pod, and no specification
(Kubernetes, API concepts, receiving resources as tables). The function signs in as its role, by a signed request to STS
that the cluster sends for it (EKS user guide, cluster-auth; aws-cli, `aws eks get-token`).
"""

import base64
import json
import ssl
import time
from collections.abc import Callable, Mapping
from http.client import HTTPException
from typing import Any, Final
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPRedirectHandler, HTTPSHandler, Request, build_opener

from headroom.addresses.blocks import parse_address
from headroom.addresses.problems import ProblemsError

PAGE: Final = 2000
"""Pods asked for at once."""

TIMEOUT_SECONDS: Final = 20
"""How long the cluster may take for an answer."""

MOST_SECONDS: Final = 60
"""How long the pages may take together: a run that is killed publishes nothing of what alarms stand on."""

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


def pod_addresses(
    cluster: str,
    client: Callable[[str], Any],
    connect: Callable[[str], Fetch] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> set[int]:
    """The IPv4 addresses of all pods of a cluster that have not ended, those that share their node's among them.

    Args:
        cluster: Its name.
        client: Makes a boto3 client by the name of its service.
        connect: Makes what fetches, from the cluster's certificate authority; by default, over HTTPS.
        clock: Tells seconds.

    Raises:
        PodsError: The cluster does not answer, refuses, or answers what is none.
        ClientError: AWS refuses.
    """
    found = client("eks").describe_cluster(name=cluster)["cluster"]
    endpoint = found.get("endpoint") or ""
    try:
        fetch = (connect or https)(base64.b64decode(found["certificateAuthority"]["data"]).decode("ascii"))
    except (LookupError, TypeError, ValueError, ssl.SSLError) as error:
        raise PodsError(f"{cluster} has no endpoint with a certificate authority: it is {_state(found)}") from error
    until = clock() + MOST_SECONDS

    def listed() -> set[int]:
        headers = {"Authorization": f"Bearer {token(client('sts'), cluster)}", "Accept": ACCEPT}
        return _listed(endpoint, headers, fetch, lambda: clock() < until)

    try:
        try:
            return listed()
        except HTTPError as error:
            if error.code != EXPIRED:
                raise
            return listed()
    except HTTPError as error:
        raise PodsError(f"{error.code}: {_message(error)}") from error
    except OSError as error:
        # What went wrong with a connection is the reason of a URLError.
        reason = getattr(error, "reason", error)
        raise PodsError(f"{endpoint} does not answer: {reason}. A private endpoint cannot be read") from error
    except (HTTPException, ValueError, LookupError, TypeError, AttributeError) as error:
        # What stands in the way may say anything; the alarms do not depend on it.
        raise PodsError(f"{endpoint} answers no table of pods: {type(error).__name__}") from error


def _state(found: Mapping[str, Any]) -> str:
    return str(found.get("status") or "in no known state")


def token(sts: Any, cluster: str) -> str:
    """What a cluster takes for a proof of who calls: a request to STS, signed and not sent."""

    def name_cluster(request: Any, **_: Any) -> None:
        request.headers.add_header("x-k8s-aws-id", cluster)

    # Once for each client: a header that is there twice is another one, and the cluster refuses it.
    sts.meta.events.register("before-sign.sts.GetCallerIdentity", name_cluster, unique_id=f"{__name__}.{cluster}")
    url = sts.generate_presigned_url("get_caller_identity", ExpiresIn=TOKEN_SECONDS, HttpMethod="GET")
    return "k8s-aws-v1." + base64.urlsafe_b64encode(url.encode()).decode().rstrip("=")


def https(authority: str) -> Fetch:
    """Fetches over HTTPS from servers that this authority vouches for, and no others."""
    if not authority.strip():
        # With none, Python takes those of the machine.
        raise ValueError
    opener = build_opener(HTTPSHandler(context=ssl.create_default_context(cadata=authority)), _NoRedirects())

    def fetch(url: str, headers: Mapping[str, str]) -> bytes:
        if not url.startswith("https://"):
            raise PodsError(f"{url} is not read: the token would go out in the clear")
        request = Request(url, headers=dict(headers))  # noqa: S310 - HTTPS, as was just asked
        with opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
            body: bytes = answer.read()
        return body

    return fetch


class _NoRedirects(HTTPRedirectHandler):
    """An API server sends nobody elsewhere, and the token would go there too."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _listed(endpoint: str, headers: Mapping[str, str], fetch: Fetch, in_time: Callable[[], bool]) -> set[int]:
    found: set[int] = set()
    query = {"limit": str(PAGE), "fieldSelector": RUNNING, "includeObject": "None"}
    while True:
        page = json.loads(fetch(f"{endpoint}/api/v1/pods?{urlencode(query)}", headers))
        found |= _addresses(page)
        going_on = page.get("metadata", {}).get("continue")
        if not going_on:
            return found
        if not in_time():
            raise PodsError(f"{endpoint} has more pods than it lists in {MOST_SECONDS} seconds")
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
    except (ValueError, KeyError, TypeError, OSError, HTTPException):
        return error.reason or "no reason given"
    return str(text)[:500]
