"""Leases and scalers of KEDA from bundles: what counts, and what a file that lacks something says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from headroom.collect.bundle import read_bundle
from headroom.facts.kubernetes import Kubernetes
from headroom.facts.values import NOT_COLLECTED, Reason, Unknown, items

if TYPE_CHECKING:
    from pathlib import Path


def bundle(folder: Path, **kinds: list[dict[str, Any]]) -> Kubernetes:
    """What is read of files with these objects."""
    folder.mkdir(exist_ok=True)
    for kind, found in kinds.items():
        document = {"kind": "List", "items": [{"kind": kind, **each} for each in found]}
        (folder / f"{kind}.json").write_text(json.dumps(document), encoding="utf-8")
    read = read_bundle(folder).kubernetes
    assert isinstance(read, Kubernetes)
    return read


def lease(namespace: str, name: str, holder: str) -> dict[str, Any]:
    spec = {"holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": "2026-03-03T20:45:59.123456Z"}
    return {"metadata": {"namespace": namespace, "name": name}, "spec": spec}


def test_of_all_leases_of_a_cluster_those_of_workloads_are_kept(tmp_path: Path) -> None:
    found = bundle(
        tmp_path,
        Lease=[
            lease("kube-node-lease", "aks-1", "aks-1"),
            lease("kube-system", "kube-scheduler", "a"),
            lease("kube-system", "apiserver-abc", "b"),
            lease("billing", "queue-leader", "queue-0"),
        ],
    )
    assert [(each.namespace, each.name, each.holder) for each in items(found.leases)] == [
        ("billing", "queue-leader", "queue-0")
    ]
    assert found.keda_scalers == NOT_COLLECTED, "no file holds any"


def test_a_bundle_without_leases_of_workloads_has_none_and_one_without_leases_is_unread(tmp_path: Path) -> None:
    assert bundle(tmp_path / "a", Lease=[lease("kube-node-lease", "aks-1", "aks-1")]).leases == ()
    assert bundle(tmp_path / "b", Namespace=[{"metadata": {"name": "d"}}]).leases == NOT_COLLECTED


def test_a_lease_without_a_namespace_makes_all_unparseable(tmp_path: Path) -> None:
    found = bundle(tmp_path, Lease=[{"metadata": {"name": "a"}, "spec": {}}]).leases
    assert isinstance(found, Unknown)
    assert found.reason is Reason.UNPARSEABLE


def test_a_holder_that_looks_like_a_secret_is_left_out(tmp_path: Path) -> None:
    (found,) = items(bundle(tmp_path, Lease=[lease("d", "l", "web-0 password=hunter2hunter2")]).leases)
    assert "hunter2" not in str(found.holder)


def test_both_kinds_of_keda_are_one_list(tmp_path: Path) -> None:
    scaler = {"metadata": {"namespace": "d", "name": "s"}, "spec": {"triggers": [{"type": "kafka"}]}}
    found = bundle(tmp_path, ScaledObject=[scaler], ScaledJob=[scaler])
    assert [each.kind for each in items(found.keda_scalers)] == ["ScaledObject", "ScaledJob"]
