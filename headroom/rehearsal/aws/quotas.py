"""Service Quotas of the simulated AWS: the action that moto lacks, with the quotas that this AWS keeps to."""

import json
from collections.abc import Callable
from typing import Any

from moto.servicequotas import urls
from moto.servicequotas.responses import ServiceQuotasResponse

from headroom.addresses.association import CIDR_QUOTA_CODE
from headroom.capacity.quotas import INTERFACE_QUOTA_CODE
from headroom.rehearsal.aws.settings import Settings

SUBNET_QUOTA_CODE = "L-407747CB"
"""Code of the quota "Subnets per VPC" (VPC user guide, amazon-vpc-limits)."""


class RehearsalQuotas(ServiceQuotasResponse):
    """Service Quotas of one Region."""

    settings: Callable[[], Settings] = Settings

    def list_service_quotas(self) -> str:
        """ListServiceQuotas: moto's default values, except where this AWS enforces another."""
        applied = type(self).settings()
        enforced = {
            CIDR_QUOTA_CODE: applied.cidr_quota,
            INTERFACE_QUOTA_CODE: applied.interface_quota,
            SUBNET_QUOTA_CODE: applied.subnet_quota,
        }
        defaults: list[dict[str, Any]] = self.backend.list_aws_default_service_quotas(
            json.loads(self.body)["ServiceCode"]
        )
        quotas = [{**quota, "Value": float(enforced.get(quota["QuotaCode"], quota["Value"]))} for quota in defaults]
        return json.dumps({"Quotas": quotas})


def install(settings: Callable[[], Settings]) -> None:
    """Put these quotas in the place of moto's own; once in a process, before the first request."""
    RehearsalQuotas.settings = staticmethod(settings)
    urls.url_paths["{0}/$"] = RehearsalQuotas.dispatch
