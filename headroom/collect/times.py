"""Times as the snapshot keeps them: ISO 8601 in UTC, to the second."""

from datetime import UTC, datetime


def utc(value: object) -> str | None:
    """A time of any API (boto3's datetime, Kubernetes' Time or MicroTime, the AWS CLI's text); ``None`` for none.

    Raises:
        ValueError: It is a text, and no time.
        TypeError: It is neither.
    """
    if value is None or value == "":
        return None
    if isinstance(value, str):
        # Nearly every time of a large cluster is written just so already.
        if len(value) == len("2026-03-03T20:46:00Z") and value.endswith("Z"):
            return value
        value = datetime.fromisoformat(value)
    if not isinstance(value, datetime):
        message = f"{value!r} is no time"
        raise TypeError(message)
    if value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
