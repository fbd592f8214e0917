"""How the audit asks Azure: within Resource Graph's quota, every page, and no token to another host."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ServiceRequestError

from headroom.addresses.problems import ProblemsError
from headroom.collect.azure_pipeline import arm_pipeline
from headroom.collect.egress_addresses import read_egress_addresses
from headroom.collect.egress_audit import GRAPH_SUBSCRIPTIONS, Manager, read_lists
from headroom.facts.values import Reason, Unknown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from azure.core.rest import HttpRequest

HOST = "https://azure.example"
ROW = {"id": "/subscriptions/s1/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/kv"}


@dataclass
class Response:
    """An answer."""

    content: Any
    status_code: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    def raise_for_status(self) -> None:
        """As azure-core's."""
        if self.status_code >= 400:
            error = HttpResponseError("refused")
            error.status_code = self.status_code
            raise error

    def json(self) -> Any:
        """As azure-core's."""
        if isinstance(self.content, str):
            return json.loads(self.content)
        return self.content


@dataclass
class Azure:
    """Answers in turn; what was asked is kept."""

    answers: list[Response | Exception]
    asked: list[HttpRequest] = field(default_factory=list)

    def format_url(self, url_template: str) -> str:
        """A path with the endpoint before it."""
        return f"{HOST}{url_template}"

    def send_request(self, request: HttpRequest) -> Response:
        """The next answer."""
        self.asked.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def rows(count: int, total: int, token: str = "", **headers: str) -> Response:
    content: dict[str, Any] = {"data": [ROW] * count, "totalRecords": total, "resultTruncated": "false"}
    return Response(content | ({"$skipToken": token} if token else {}), headers={
        name.replace("_", "-"): value for name, value in headers.items()})  # fmt: skip


def test_an_answer_that_leaves_no_query_is_waited_after() -> None:
    left = {"x_ms_user_quota_remaining": "0", "x_ms_user_quota_resets_after": "00:00:03"}
    azure, waits = Azure([rows(1, 3, "a", **left), rows(1, 3, "b"), rows(1, 3)]), list[float]()
    found = Manager(azure, waits.append).query(["s1"], "resources")
    assert found == (ROW, ROW, ROW)
    assert waits == [3.0]
    bodies = [json.loads(request.content) for request in azure.asked]
    assert [body["options"].get("$skipToken") for body in bodies] == [None, "a", "b"]
    assert {body["options"]["$top"] for body in bodies} == {1000}


def test_a_throttled_query_is_asked_again_after_as_long_as_it_says() -> None:
    refused = Response({}, 429, {"x-ms-user-quota-remaining": "0", "x-ms-user-quota-resets-after": "00:00:02"})
    azure, waits = Azure([refused, Response({}, 429, {"Retry-After": "4"}), rows(1, 1)]), list[float]()
    assert Manager(azure, waits.append).query(["s1"], "resources") == (ROW,)
    assert waits == [2.0, 4.0]


def test_a_query_that_stays_throttled_is_unknown() -> None:
    azure = Azure([Response({}, 429) for _ in range(5)])
    found = Manager(azure, lambda _: None).query(["s1"], "resources")
    assert isinstance(found, Unknown)
    assert found.reason is Reason.THROTTLED


@pytest.mark.parametrize(
    "answer",
    [
        rows(1, 2),
        Response({"data": [ROW], "totalRecords": 1, "resultTruncated": "true"}),
        Response({"data": {"columns": []}}),
        Response({"data": [5], "totalRecords": 1}),
        Response([]),
        Response("{"),
        Response({}, 403),
        Response({}, 404),
        ServiceRequestError("no route"),
    ],
    ids=str,
)
def test_an_answer_in_part_is_unknown(answer: Response | Exception) -> None:
    assert isinstance(Manager(Azure([answer])).query(["s1"], "resources"), Unknown)


def test_the_token_goes_to_no_other_host() -> None:
    azure = Azure([Response({"value": [ROW], "nextLink": "https://elsewhere.example/next"})])
    found = Manager(azure).every("/subscriptions/s1/resources", "2021-04-01")
    assert isinstance(found, Unknown)
    assert found.detail == "a page of the list is missing"
    assert [urlsplit(request.url).netloc for request in azure.asked] == ["azure.example"]


@pytest.mark.parametrize("content", [{"value": None}, {"value": [1]}, {}, []], ids=str)
def test_what_is_no_list_is_unknown(content: Any) -> None:
    assert isinstance(Manager(Azure([Response(content)])).every("/x", "1"), Unknown)


def test_thousands_of_subscriptions_are_asked_for_in_batches() -> None:
    subscriptions = [f"s{number}" for number in range(2 * GRAPH_SUBSCRIPTIONS + 1)]
    batches: list[int] = []

    class Many(Azure):
        def send_request(self, request: HttpRequest) -> Response:
            if request.method == "POST":
                batches.append(len(json.loads(request.content)["subscriptions"]))
                return rows(0, 0)
            return Response({"value": [{"subscriptionId": each} for each in subscriptions]})

    found = read_lists(Many([]), pause=lambda _: None)
    assert batches == [1000, 1000, 1]
    assert len(found.subscriptions) == len(subscriptions)


def test_without_a_subscription_there_is_nothing_to_look_through() -> None:
    with pytest.raises(ProblemsError, match="No subscription is seen with these credentials"):
        read_lists(Azure([Response({"value": []})]))
    with pytest.raises(ProblemsError, match="could be read: denied"):
        read_lists(Azure([Response({}, 403)]))


def test_without_credentials_nothing_is_read_and_the_way_to_sign_in_is_told() -> None:
    azure = Azure([ClientAuthenticationError("nobody is signed in, at great length")])
    with pytest.raises(ProblemsError, match="No credentials for Azure are usable"):
        read_lists(azure, ["s1"])
    assert len(azure.asked) == 1
    with pytest.raises(ProblemsError, match="No credentials"):
        read_egress_addresses(Manager(Azure([ClientAuthenticationError("the same")])), "/subscriptions/s1/x")


@pytest.mark.parametrize("url", ["https://example.com", "http://127.0.0.1:1", "https://127.0.0.1.example.com", "x"])
def test_only_this_machine_is_a_simulated_azure(url: str) -> None:
    with pytest.raises(ProblemsError, match="is not an https address of this machine"):
        arm_pipeline(url)
