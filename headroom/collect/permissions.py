"""What a reader may do: the IAM policy and the RBAC roles, as files to hand on."""

from importlib.resources import files
from typing import Final

FILES: Final = {"iam": "reader.iam.json", "rbac": "reader.rbac.yaml"}


def permissions(kind: str) -> str:
    """The text of a file.

    Args:
        kind: `iam` (an identity policy) or `rbac` (manifests for `kubectl apply`).
    """
    return (files("headroom.collect") / "data" / FILES[kind]).read_text(encoding="utf-8")
