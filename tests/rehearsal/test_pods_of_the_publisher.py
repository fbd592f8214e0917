"""The publisher's list of pods, from a real API server: a table has their addresses, page by page."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from components.publisher import pods
from headroom.addresses.blocks import parse_address
from headroom.rehearsal.kube import NAMESPACES, PODS, Kube

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headroom.rehearsal.control_plane import ControlPlane

pytestmark = pytest.mark.control_plane

SPACE = "counted"
PHASES = {"10.9.0.1": "Running", "10.9.0.2": "Running", "10.9.0.3": "Succeeded", "10.9.0.4": "Failed", "": "Pending"}


def pod(number: int) -> dict[str, Any]:
    # Bound to a node that nobody looks after, so that nothing changes what is said of it.
    spec = {"nodeName": "nowhere", "containers": [{"name": "main", "image": "none"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"pod-{number}", "namespace": SPACE}, "spec": spec}


def test_pods_with_an_address_are_read_in_pages_and_those_that_ended_are_not(
    control_plane: ControlPlane, kube: Kube, monkeypatch: pytest.MonkeyPatch
) -> None:
    kube.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}})
    for number, (address, phase) in enumerate(PHASES.items()):
        kube.create(PODS, pod(number))
        status = {"phase": phase, **({"podIP": address, "podIPs": [{"ip": address}]} if address else {})}
        kube.patch(PODS, f"pod-{number}", {"status": status}, namespace=SPACE, subresource="status")
    config = json.loads(control_plane.kubeconfig.read_text("utf-8"))
    bearer = config["users"][0]["user"]["token"]
    authority = control_plane.authority.decode("ascii")
    asked: list[str] = []

    class Eks:
        def describe_cluster(self, name: str) -> dict[str, Any]:
            data = base64.b64encode(authority.encode()).decode()
            return {"cluster": {"name": name, "endpoint": control_plane.server, "certificateAuthority": {"data": data}}}

    def client(service: str) -> Any:
        if service == "eks":
            return Eks()
        return boto3.client("sts", "us-east-1", aws_access_key_id="a", aws_secret_access_key="s")  # noqa: S106 - none

    def signed_in(trusted: str) -> pods.Fetch:
        """The same, with a token that this API server knows."""
        fetch = pods.https(trusted)

        def with_token(url: str, headers: Mapping[str, str]) -> bytes:
            asked.append(url)
            return fetch(url, {**headers, "Authorization": f"Bearer {bearer}"})

        return with_token

    monkeypatch.setattr(pods, "PAGE", 1)
    assert pods.pod_addresses("prod", client, signed_in) == {parse_address("10.9.0.1"), parse_address("10.9.0.2")}
    assert len(asked) >= 3, "a page a pod"
    with pytest.raises(pods.PodsError, match="401: Unauthorized"):
        pods.pod_addresses("prod", client)
