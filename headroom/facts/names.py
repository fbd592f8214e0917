"""What a cluster and a stack may be called: names travel into commands and files, so both are judged before use."""

import re
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


def is_cluster_name(text: str) -> bool:
    """Whether EKS would take `text` as the name of a cluster."""
    return CLUSTER_NAME.fullmatch(text) is not None


def is_stack_name(text: str) -> bool:
    """Whether Pulumi would take `text` as the name of a stack."""
    return STACK_NAME.fullmatch(text) is not None
