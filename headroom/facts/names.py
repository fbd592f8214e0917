"""What a cluster and a stack may be called: names travel into commands and files, so both are judged before use."""

import re
from collections.abc import Iterator
from typing import Final

CLUSTER_NAME: Final = re.compile(r"[0-9A-Za-z][A-Za-z0-9\-_]{0,99}")
"""Name of an EKS cluster; to be matched in full (EKS API reference, CreateCluster: pattern and length of `name`)."""
CLUSTER_NAME_RULE: Final = (
    "a letter or a digit first, then letters, digits, hyphens and underscores: 100 characters at most"
)
"""`CLUSTER_NAME` in words, for messages."""

STACK_NAME: Final = re.compile(r"[A-Za-z0-9_.\-]{1,100}")
"""Name of a Pulumi stack without its organization; to be matched in full (pulumi/pulumi #6685 and #10675: the engine
refuses everything else)."""
STACK_NAME_RULE: Final = "letters, digits, hyphens, underscores and periods: 100 characters at most"
"""`STACK_NAME` in words, for messages."""


GENERATED: Final = re.compile(r"-(?:\d{1,5}|[bcdfghjklmnpqrstvwxz2456789]{5})$")
"""How the names of pods end that a controller makes: an ordinal, or five of the letters of Kubernetes' generated names
(apimachinery, util/rand)."""


_LONGEST: Final = 253
"""Characters of the longest name of a pod or node (Kubernetes, object names)."""


def hosts_in(holder: str) -> Iterator[str]:
    """What may be the name of a pod or node in a leader's name for itself, the likeliest first.

    kube's own components and controller-runtime write the host's name, an underscore and a UUID (kubernetes,
    cmd/kube-controller-manager/app/controllermanager.go; controller-runtime, pkg/leaderelection/leader_election.go),
    the sidecars of CSI the host's name alone (kubernetes-csi/csi-lib-utils, leaderelection/leader_election.go), and
    cert-manager the host's name with a text of its own after a hyphen (cert-manager, cmd/controller/app).
    """
    host = holder.partition("_")[0]
    yield from dict.fromkeys((holder, host, holder.rpartition("/")[2]))
    # A name that somebody made long on purpose is not taken apart in full.
    host = host[: _LONGEST + 1]
    while "-" in host:
        host = host.rpartition("-")[0]
        # Cut shorter, any text would begin with some pod's name.
        if GENERATED.search(host):
            yield host


def is_cluster_name(text: str) -> bool:
    """Whether EKS would take `text` as the name of a cluster."""
    return CLUSTER_NAME.fullmatch(text) is not None


def is_stack_name(text: str) -> bool:
    """Whether Pulumi would take `text` as the name of a stack."""
    return STACK_NAME.fullmatch(text) is not None
