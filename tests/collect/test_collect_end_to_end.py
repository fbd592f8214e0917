"""`headroom collect` as a person calls it, against a simulated AWS and an API server."""

import os
import subprocess
import sys
from pathlib import Path

from headroom.facts.document import load
from headroom.facts.values import items
from tests.collect.conftest import CLUSTER, ApiServerStub, World


def test_a_cluster_is_read_from_the_command_line(
    aws: World, cluster: ApiServerStub, kubeconfig: Path, tmp_path: Path
) -> None:
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-m", "headroom.cli", "collect", "--cluster", CLUSTER, "-o", "out.json"],
        env={**os.environ, **aws.endpoint.environment(), "KUBECONFIG": str(kubeconfig)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "  ✓ kubernetes 4 pods, 2 nodes, 1 event, 1 service\n" in done.stderr
    assert "8 AWS calls (budget 11)" in done.stderr
    snapshot = load((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert len(items(snapshot.pools)) == 2
    assert ("/api/v1/pods", {"limit": "500"}) in cluster.asked
