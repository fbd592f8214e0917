"""Names the pods behind addresses and the nodes behind instances, for the refusal of a deletion."""

import asyncio

from components.subnet_guard import PodNames, PodsByAddress
from headroom.collect.pods import list_pod_addresses


def pods_reader(context: str) -> PodsByAddress:
    """A reader of the cluster's pods; `context` is the kubeconfig's, empty for the current one."""

    async def read() -> PodNames:
        found = await asyncio.to_thread(list_pod_addresses, context)
        return PodNames(found.pods, found.unknown, found.nodes)

    return read
