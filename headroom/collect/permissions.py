"""What a reader may do: the IAM policy, the Azure role and the RBAC roles, as files to hand on."""

from importlib.resources import files
from typing import Final

FILES: Final = {
    "iam": "reader.iam.json",
    "rbac": "reader.rbac.yaml",
    "rbac-verify": "verifier.rbac.yaml",
    "rbac-probes": "prober.rbac.yaml",
    "azure": "reader.azure.json",
    "rbac-aks": "reader.aks.rbac.yaml",
    "azure-audit": "auditor.azure.json",
}


def permissions(kind: str) -> str:
    """The text of a file.

    Args:
        kind: `iam` (an identity policy), `rbac` (manifests for `kubectl apply`), `rbac-verify` (those that
            `headroom verify` needs beside them), `rbac-probes` (those of `headroom probes --run`), `azure` (a role
            definition for `az role definition create`), `rbac-aks` (manifests that AKS needs beside those of `rbac`),
            or `azure-audit` (the role definition of `headroom audit-egress`).
    """
    return (files("headroom.collect") / "data" / FILES[kind]).read_text(encoding="utf-8")
