"""Pods and their addresses, nodes and their instances, read from the cluster that the kubeconfig names."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

RBAC_RULES = ({"apiGroups": [""], "resources": ["nodes", "pods"], "verbs": ["list"]},)
"""What the reader's role needs."""

PAGE = 500
"""Objects a request."""
TIMEOUT_SECONDS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class PodAddresses:
    """What a cluster says of its addresses.

    Attributes:
        pods: "namespace/name" by address, those with the node's own address left out.
        nodes: Node name by EC2 instance id.
        unknown: Why it could not be read; empty when it could.
    """

    pods: Mapping[str, str] = field(default_factory=dict)
    nodes: Mapping[str, str] = field(default_factory=dict)
    unknown: str = ""


def list_pod_addresses(context: str = "") -> PodAddresses:
    """Reads pods and nodes; `context` is the kubeconfig's, empty for the current one."""
    # Imported here: a second that only a refusal has to spend.
    import urllib3  # noqa: PLC0415
    import yaml  # noqa: PLC0415
    from kubernetes import client, config  # noqa: PLC0415

    try:
        loaded = config.new_client_from_config(context=context or None)  # type: ignore[no-untyped-call] # untyped upstream
        api = client.CoreV1Api(loaded)
        nodes = {
            node["spec"]["providerID"].rpartition("/")[2]: node["metadata"]["name"]
            for node in _pages(api, api.list_node)
            if node.get("spec", {}).get("providerID")
        }
        pods = {
            pod["status"]["podIP"]: f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
            for pod in _pages(api, api.list_pod_for_all_namespaces)
            if pod.get("status", {}).get("podIP") and not pod["spec"].get("hostNetwork")
        }
    except (config.ConfigException, yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError) as error:
        # The client checks little of a kubeconfig's shape, and answers a wrong one with whatever comes.
        said = " ".join(str(error).split())
        return PodAddresses(unknown=f"no usable kubeconfig: {said}")
    except client.ApiException as error:
        return PodAddresses(unknown=f"the API server answered {error.status} {error.reason}")
    except (urllib3.exceptions.HTTPError, OSError) as error:
        return PodAddresses(unknown=f"the API server did not answer: {type(error).__name__}")
    return PodAddresses(pods=pods, nodes=nodes)


def _pages(api: Any, list_page: Callable[..., Any]) -> Iterator[dict[str, Any]]:
    token = None
    while True:
        page = list_page(limit=PAGE, _continue=token, _request_timeout=TIMEOUT_SECONDS)
        content: dict[str, Any] = api.api_client.sanitize_for_serialization(page)
        yield from content["items"]
        token = content["metadata"].get("continue")
        if not token:
            return
