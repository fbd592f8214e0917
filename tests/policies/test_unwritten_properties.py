"""What a preview calls unknown although nobody wrote it, and Azure leaves it empty."""

from policies.resources import NAT_GATEWAY, PUBLIC_IP_ADDRESS, UNKNOWN, settled


def test_what_azure_leaves_empty_is_not_unknown() -> None:
    outputs = {"publicIpPrefixes": UNKNOWN, "publicIpAddresses": UNKNOWN, "id": UNKNOWN}
    inputs = {"publicIpAddresses": [{"id": UNKNOWN}]}
    assert settled(NAT_GATEWAY, outputs, inputs) == {"publicIpAddresses": [{"id": UNKNOWN}], "id": UNKNOWN}


def test_what_is_written_and_not_known_yet_stays_unknown() -> None:
    assert settled(NAT_GATEWAY, {}, {"publicIpPrefixes": UNKNOWN}) == {"publicIpPrefixes": UNKNOWN}


def test_what_azure_chooses_stays_unknown() -> None:
    assert settled(PUBLIC_IP_ADDRESS, {"ipAddress": UNKNOWN}, {}) == {"ipAddress": UNKNOWN}


def test_what_azure_has_answered_is_kept() -> None:
    answered = {"publicIpPrefixes": [{"id": "/p"}]}
    assert settled(f"{NAT_GATEWAY}", answered, {}) == answered
