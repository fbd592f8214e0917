"""CloudWatch of the simulated AWS: the composite alarms that moto keeps and has no action for."""

import re
from typing import Any

from moto.cloudwatch import urls
from moto.cloudwatch.exceptions import ValidationError
from moto.cloudwatch.responses import CloudWatchResponse

NAMED = re.compile(r'(?:ALARM|OK|INSUFFICIENT_DATA)\("([^"]+)"\)')
"""Alarms in the rule of a composite one (CloudWatch API reference, PutCompositeAlarm)."""


class RehearsalCloudWatch(CloudWatchResponse):
    """CloudWatch of one Region."""

    def put_composite_alarm(self) -> Any:
        """PutCompositeAlarm; refuses a rule over alarms that are not there, as AWS does (aws-cdk #12662)."""
        there = set(self.cloudwatch_backend.alarms)
        missing = sorted(set(NAMED.findall(self._get_param("AlarmRule"))) - there)
        if missing:
            names = ", ".join(missing)
            raise ValidationError(
                f"Could not save the composite alarm as alarms [{names}] in the alarm rule do not exist"
            )
        return self.put_metric_alarm()


def install() -> None:
    """Puts it in the place of moto's own; once in a process, before the first request."""
    urls.url_paths["{0}/$"] = RehearsalCloudWatch.dispatch
