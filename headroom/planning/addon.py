"""The managed add-on vpc-cni: its name, and how a stack takes it over."""

from collections.abc import Mapping, Sequence

ADDON_NAME = "vpc-cni"
"""Its name (EKS user guide, managing-vpc-cni)."""


def addon_import(name: str, cluster: str) -> dict[str, Sequence[Mapping[str, object]]]:
    """The file for `pulumi import --file` that gives the stack the add-on that exists, under its component."""
    return {
        "resources": [
            # Inside the file names must differ; the logical ones are those of the program.
            {"type": "headroom:index:CniSettings", "name": "component", "logicalName": name, "component": True},
            {"type": "aws:eks/addon:Addon", "name": name, "id": f"{cluster}:{ADDON_NAME}", "parent": "component"},
        ]
    }
