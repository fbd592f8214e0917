"""Pods and their addresses, read from the cluster that the kubeconfig names."""

from collections.abc import Mapping
from typing import Any

RBAC_RULES = ({"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},)
"""What the reader's role needs."""

PAGE = 500
"""Pods a request."""
TIMEOUT_SECONDS = 10


def list_pod_addresses(context: str = "") -> tuple[Mapping[str, str], str]:
    """Pods as "namespace/name" by address, those with the node's own address left out.

    Args:
        context: Context of the kubeconfig; empty for the current one.

    Returns:
        The pods, and why they could not be read (empty when they could).
    """
    # Imported here: a second that only a refusal has to spend.
    import urllib3  # noqa: PLC0415
    from kubernetes import client, config  # noqa: PLC0415

    addresses: dict[str, str] = {}
    try:
        loaded = config.new_client_from_config(context=context or None)  # type: ignore[no-untyped-call] # untyped upstream
        api = client.CoreV1Api(loaded)
        token = None
        while True:
            page = api.list_pod_for_all_namespaces(limit=PAGE, _continue=token, _request_timeout=TIMEOUT_SECONDS)
            pages: dict[str, Any] = api.api_client.sanitize_for_serialization(page)
            for pod in pages["items"]:
                address = pod.get("status", {}).get("podIP")
                if address and not pod["spec"].get("hostNetwork"):
                    addresses[address] = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
            token = pages["metadata"].get("continue")
            if not token:
                return addresses, ""
    except config.ConfigException as error:
        return {}, f"no usable kubeconfig: {error}"
    except client.ApiException as error:
        return {}, f"the API server answered {error.status} {error.reason}"
    except (urllib3.exceptions.HTTPError, OSError) as error:
        return {}, f"the API server did not answer: {type(error).__name__}"
