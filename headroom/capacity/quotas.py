"""Quotas of an account and a Region that bound what the VPC CNI can have."""

from typing import Final

INTERFACE_QUOTA: Final = 5000
"""Network interfaces of a Region, unless raised (VPC user guide, amazon-vpc-limits)."""

INTERFACE_QUOTA_CODE: Final = "L-DF5E4CA3"
"""Code of the quota "Network interfaces per Region" in Service Quotas (VPC user guide, amazon-vpc-limits)."""
