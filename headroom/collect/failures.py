"""Why a reading failed, as a reason and a few words: never the whole message, which may name people and policies."""

import json
from collections.abc import Callable

import botocore.exceptions as aws
import urllib3.exceptions
from botocore.parsers import ResponseParserError

from headroom.facts.values import Reason, Unknown

DENIED_CODES = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "OptInRequired",
        "RequestExpired",
        "SignatureDoesNotMatch",
        "SubscriptionRequiredException",
        "UnauthorizedOperation",
        "UnrecognizedClientException",
    }
)
"""Error codes that say that this caller may not (EC2 API reference, error codes; AWS common errors)."""

THROTTLED_CODES = frozenset(
    {
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "LimitExceededException",
        "PriorRequestNotComplete",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "TooManyRequestsException",
        "TransactionInProgressException",
    }
)
"""Error codes that botocore repeats as throttling (botocore, retries/standard.py)."""

_HTTP_DENIED, _HTTP_THROTTLED = (401, 403), 429


class ApiServerError(Exception):
    """The API server refused a request.

    Attributes:
        code: HTTP's status code.
        reason: The reason of the Status object, such as Forbidden or Expired.
        message: Its message; not part of the text, since it may name people and policies.
    """

    def __init__(self, code: int, reason: str, message: str = "") -> None:
        super().__init__(f"{code} {reason}".strip())
        self.code = code
        self.reason = reason
        self.message = message


class NotReadError(Exception):
    """A reading that cannot be made, because what it needs is unknown."""

    def __init__(self, unknown: Unknown) -> None:
        super().__init__(str(unknown))
        self.unknown = unknown


EXPECTED: tuple[type[Exception], ...] = (
    aws.BotoCoreError,
    aws.ClientError,
    ResponseParserError,
    ApiServerError,
    NotReadError,
    urllib3.exceptions.HTTPError,
    OSError,
    # What an answer of another form leads to.
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    RecursionError,
)
"""What may go wrong outside of this program. Anything else is a mistake of ours, and is raised."""


def unknown_of(error: Exception) -> Unknown:
    """The unknown value that stands for what could not be read."""
    for kinds, say in _SAID:
        if isinstance(error, kinds):
            return say(error)
    return Unknown(Reason.UNPARSEABLE, f"the answer has another form: {type(error).__name__}")


def _not_read(error: Exception) -> Unknown:
    assert isinstance(error, NotReadError)  # noqa: S101 - tells the type checker what the table says
    return error.unknown


def _client_error(error: Exception) -> Unknown:
    assert isinstance(error, aws.ClientError)  # noqa: S101 - the same
    code = error.response.get("Error", {}).get("Code", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    detail = f"{error.operation_name}: {code or status}"
    if code in DENIED_CODES or (status in _HTTP_DENIED and code not in THROTTLED_CODES):
        return Unknown(Reason.DENIED, detail)
    if code in THROTTLED_CODES or status == _HTTP_THROTTLED:
        return Unknown(Reason.THROTTLED, detail)
    return Unknown(Reason.UNREACHABLE, detail)


def _credentials(error: Exception) -> Unknown:
    return Unknown(Reason.DENIED, f"no usable credentials: {type(error).__name__}")


def _unparseable(error: Exception) -> Unknown:
    return Unknown(Reason.UNPARSEABLE, f"the answer makes no sense: {type(error).__name__}")


def _no_answer(error: Exception) -> Unknown:
    return Unknown(Reason.UNREACHABLE, f"no answer: {type(error).__name__}")


def _api_server(error: Exception) -> Unknown:
    assert isinstance(error, ApiServerError)  # noqa: S101 - the same
    detail = f"the API server answered {error}"
    if error.code in _HTTP_DENIED:
        return Unknown(Reason.DENIED, detail)
    return Unknown(Reason.THROTTLED if error.code == _HTTP_THROTTLED else Reason.UNREACHABLE, detail)


# In this order: the general kinds come last.
_SAID: tuple[tuple[type[Exception] | tuple[type[Exception], ...], Callable[[Exception], Unknown]], ...] = (
    (NotReadError, _not_read),
    (aws.ClientError, _client_error),
    (ApiServerError, _api_server),
    (
        (
            aws.NoCredentialsError,
            aws.PartialCredentialsError,
            aws.CredentialRetrievalError,
            aws.TokenRetrievalError,
            aws.SSOError,
            aws.UnauthorizedSSOTokenError,
            aws.NoAuthTokenError,
        ),
        _credentials,
    ),
    ((ResponseParserError, json.JSONDecodeError, UnicodeDecodeError), _unparseable),
    ((aws.BotoCoreError, urllib3.exceptions.HTTPError, OSError), _no_answer),
)
