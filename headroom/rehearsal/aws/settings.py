"""What can be set about the simulated AWS: quotas, and how long things take."""

from dataclasses import dataclass, fields, replace
from typing import Any

from headroom.addresses.association import CIDR_QUOTA
from headroom.capacity.quotas import INTERFACE_QUOTA

ACCOUNT = "123456789012"
"""The account that every caller of the simulated AWS belongs to (moto's own)."""

SUBNET_QUOTA = 200
"""Subnets of a VPC (VPC user guide, amazon-vpc-limits, L-407747CB)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of the simulated AWS.

    Attributes:
        association_seconds: How long a CIDR of a VPC stays `associating`, and `disassociating`.
        addon_seconds: How long an add-on stays `CREATING`, `UPDATING` and `DELETING`.
        cidr_quota: IPv4 CIDRs of a VPC, the primary one included.
        subnet_quota: Subnets of a VPC.
        interface_quota: Network interfaces of a Region.
        allow_family_mix: Accept CIDRs from several RFC 1918 ranges in one VPC (aws-cdk #36111).
        reservation_burst: Calls of CreateSubnetCidrReservation that may come at once.
        reservation_rate: Calls of it that may follow, per second.
        seed: Where the random choice of addresses starts, so that a rehearsal repeats itself.
    """

    association_seconds: float = 2.0
    addon_seconds: float = 2.0
    cidr_quota: int = CIDR_QUOTA
    subnet_quota: int = SUBNET_QUOTA
    interface_quota: int = INTERFACE_QUOTA
    allow_family_mix: bool = False
    reservation_burst: int = 5
    reservation_rate: float = 1.0
    seed: int = 1

    def changed(self, values: dict[str, Any]) -> "Settings":
        """The settings with some values replaced.

        Raises:
            ValueError: A name is not that of a setting, or a value of another type.
        """
        known = {item.name: item for item in fields(self)}
        for name, value in values.items():
            if name not in known:
                raise ValueError(f"{name} is not a setting; the settings are {', '.join(known)}")
            expected = type(getattr(self, name))
            if isinstance(value, bool) != (expected is bool) or not isinstance(value, int | float):
                raise ValueError(f"{name}: {value!r} is not of the type {expected.__name__}")
        return replace(self, **{name: type(getattr(self, name))(value) for name, value in values.items()})
