"""Whether the API server reaches a pod's log: it goes by the kubelet of the pod's node, as `kubectl exec` does.

Not part of a snapshot: logs are asked for only where a plan's postcondition names them, and none of their text is kept.
"""

from dataclasses import dataclass

from headroom.facts.values import Unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class LogAccess:
    """One attempt to read a pod's log.

    Attributes:
        pod: The pod, as namespace/name.
        address: Its address.
        node: Its node.
        read: Whether the log came; unknown where the API server was not asked, or may not tell.
        because: Why it did not come: what the API server met on the way to the kubelet.
    """

    pod: str
    address: str
    node: str
    read: bool | Unknown
    because: str = ""
