"""The limits of instance types as EC2 has them: for a type that the table lacks, and to refresh the table.

Refresh it with credentials at hand: `python -m headroom.collect.instance_types --region us-east-1`. Types that the
region does not offer keep their rows.
"""

import argparse
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from headroom.capacity import limits as table
from headroom.capacity.limits import InstanceLimits, instance_limits, instance_types, limits_of_description

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

IAM_ACTIONS: Final = ("ec2:DescribeInstanceTypes",)
"""What the reader's role needs."""

TABLE: Final = Path(table.__file__).parent / "data" / "ec2_instance_limits.csv"


def read_limits(ec2: "EC2Client", names: Sequence[str] = ()) -> dict[str, InstanceLimits]:
    """The limits of instance types, by name.

    Args:
        ec2: A client of the region.
        names: Which; all that the region offers where none is named. They are asked for by a filter: where they are
            arguments, EC2 refuses all of them for one that it does not know (InvalidInstanceType).

    Returns:
        Those that the region offers and whose description makes sense.
    """
    pages = ec2.get_paginator("describe_instance_types")
    asked = pages.paginate(Filters=[{"Name": "instance-type", "Values": list(names)}]) if names else pages.paginate()
    found: dict[str, InstanceLimits] = {}
    for page in asked:
        for description in page["InstanceTypes"]:
            with suppress(KeyError, TypeError, ValueError):
                limits = limits_of_description(description)
                found[limits.instance_type] = limits
    return found


def refresh(ec2: "EC2Client", path: Path = TABLE) -> tuple[int, int]:
    """Writes the table anew.

    What EC2 does not say (vCPUs of some types) stays as it was.

    Returns:
        How many types are new, and how many have other limits than before.
    """
    before = {name: instance_limits(name) for name in instance_types()}
    read = {
        name: replace(limits, vcpus=before[name].vcpus) if limits.vcpus is None and name in before else limits
        for name, limits in read_limits(ec2).items()
    }
    path.write_text(table.table_of_limits((before | read).values()), encoding="utf-8")
    changed = sum(before[name] != limits for name, limits in read.items() if name in before)
    return len(read.keys() - before.keys()), changed


def main() -> int:
    """Refreshes the table of this checkout."""
    import boto3  # noqa: PLC0415 - a second that only this command has to spend

    parser = argparse.ArgumentParser(description="Refresh the table of instance limits from EC2.")
    parser.add_argument("--region", required=True)
    client = boto3.client("ec2", region_name=parser.parse_args().region)
    new, changed = refresh(client)
    sys.stdout.write(f"{TABLE}: {new} types new, {changed} changed. Review the difference and commit it.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
