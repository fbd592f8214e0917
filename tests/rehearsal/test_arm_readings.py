"""What collectors ask the simulated Azure: Resource Graph, Log Analytics, metrics, quotas; and faults of all kinds."""

import json
import re
import textwrap
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    IncompleteReadError,
    ResourceNotFoundError,
)
from azure.mgmt.network import NetworkManagementClient
from azure.mgmt.resourcegraph import ResourceGraphClient
from azure.monitor.query import LogsQueryClient, LogsQueryPartialResult, LogsQueryResult
from azure.monitor.querymetrics import MetricsClient

from headroom.rehearsal import arm as arm_package
from headroom.rehearsal.arm.application import EXPIRED_TOKEN
from headroom.rehearsal.arm.endpoint import BackDoorRefusedError, RehearsalCredential
from tests.rehearsal.conftest import Azure

WORKSPACE = "22222222-2222-2222-2222-222222222222"


def graph(azure: Azure, query: str, **options: Any) -> Any:
    client: Any = ResourceGraphClient(azure.arm.credential(), **azure.arm.options())
    request = {"query": query, "subscriptions": [azure.arm.subscription], "options": options}
    return client.resources(request)


def stores(azure: Azure, count: int) -> list[str]:
    return azure.arm.add_resources(
        {
            "id": azure.id_of("Microsoft.Storage/storageAccounts", f"store{number:04d}"),
            "location": "eastus",
            "properties": {"networkAcls": {"ipRules": [{"value": "198.51.100.7"}]}},
        }
        for number in range(count)
    )


def test_the_way_to_it_that_its_docstring_shows_works(tmp_path: Path) -> None:
    shown = textwrap.dedent("".join(re.findall(r"(?m)^(?: {4}.*)?\n", arm_package.__doc__ or ""))).strip()
    asked = "        subnets = list(network.virtual_networks.list_all())"
    found: dict[str, Any] = {"folder": tmp_path}

    exec(f"{shown}\n{textwrap.indent(asked.strip(), '    ')}", found)  # noqa: S102  # our own docstring

    assert found["subnets"] == []
    assert isinstance(found["logs"], LogsQueryClient)


# --- Resource Graph -------------------------------------------------------------------------------------------


def test_resource_graph_finds_parents_and_has_no_rows_for_their_children(azure: Azure) -> None:
    server = azure.add("Microsoft.Sql/servers", "billing", location="eastus", properties={})
    azure.add(
        "Microsoft.Sql/servers/firewallRules",
        "billing",
        "old",
        properties={"startIpAddress": "198.51.100.7", "endIpAddress": "198.51.100.7"},
    )
    where = f"| where resourceGroup =~ '{azure.group}'"

    parents = graph(azure, f"resources {where} | where type in~ ('microsoft.sql/servers') | project id, type")
    children = graph(azure, f"Resources {where} and type =~ 'Microsoft.Sql/servers/firewallRules'")

    assert parents.data == [{"id": server, "type": "microsoft.sql/servers"}]
    assert (children.total_records, children.data, children.result_truncated) == (0, [], "false")


def test_resource_graph_answers_in_pages_as_long_as_rows_have_an_id(azure: Azure) -> None:
    stores(azure, 25)
    where = f"resources | where resourceGroup =~ '{azure.group}' and type has 'storageaccounts'"
    ids, token, calls = [], None, 0
    while calls == 0 or token:
        options = {"$top": 10, **({"$skipToken": token} if token else {})}
        page = graph(azure, f"{where} | project id, name | order by name asc", **options)
        ids += [row["name"] for row in page.data]
        token, calls = page.skip_token, calls + 1

    assert ids == [f"store{number:04d}" for number in range(25)]
    assert calls == 3
    nameless = graph(azure, f"{where} | project name", **{"$top": 10})
    assert (nameless.result_truncated, nameless.skip_token) == ("true", None), "the rest is out of reach"
    assert graph(azure, where).count == 25
    assert graph(azure, f"{where} | summarize count() by type").data == [
        {"type": "microsoft.storage/storageaccounts", "count_": 25}
    ]


def test_resource_graph_reads_into_properties(azure: Azure) -> None:
    stores(azure, 1)
    query = f"resources | where resourceGroup =~ '{azure.group}' | extend rules = properties.networkAcls.ipRules"

    (row,) = graph(azure, f"{query} | where isnotempty(rules) | project id, first = rules[0].value").data

    assert row["first"] == "198.51.100.7"


def test_resource_graph_refuses_what_it_cannot_read(azure: Azure) -> None:
    with pytest.raises(HttpResponseError, match="mv-expand is not one that"):
        graph(azure, "resources | mv-expand rules = properties.ipRules")
    with pytest.raises(HttpResponseError, match="Table nonsense was not found"):
        graph(azure, "nonsense | take 1")


def test_resource_graph_tells_the_quota_and_throttles_beyond_it(azure: Azure) -> None:
    headers: list[dict[str, str]] = []
    client: Any = ResourceGraphClient(azure.arm.credential(), **azure.arm.options(), retry_total=0)

    def ask() -> None:
        client.resources(
            {"query": "resources | count"},
            raw_response_hook=lambda answer: headers.append(dict(answer.http_response.headers)),
        )

    azure.arm.change(graph_quota=2, graph_seconds=0.0)
    ask()  # whatever was asked before has left the window
    azure.arm.change(graph_seconds=30.0)
    try:
        ask()
        with pytest.raises(HttpResponseError) as refused:
            ask()
    finally:
        azure.arm.change(graph_quota=1000, graph_seconds=5.0)

    error: Any = refused.value.error
    assert (refused.value.status_code, error.code) == (429, "RateLimiting")
    assert [answer["x-ms-user-quota-remaining"] for answer in headers] == ["1", "0", "0"]
    assert headers[-1]["x-ms-user-quota-resets-after"].startswith("00:00:")
    assert "Retry-After" in headers[-1]


def test_the_real_table_of_subscriptions_and_groups_is_another_one(azure: Azure) -> None:
    query = f"resourcecontainers | where name == '{azure.group}' | project id, type"

    assert graph(azure, query).data == [
        {"id": azure.group_id, "type": "microsoft.resources/subscriptions/resourcegroups"}
    ]


# --- logs and metrics -----------------------------------------------------------------------------------------


def logs(azure: Azure, query: str, timespan: Any = None) -> Any:
    client = LogsQueryClient(azure.arm.credential(), **azure.arm.monitor_options())
    return client.query_workspace(WORKSPACE, query, timespan=timespan)


def at(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_a_log_query_gets_the_rows_of_its_time_span_up_to_now(azure: Azure) -> None:
    now = azure.arm.now()
    azure.arm.answer_logs(
        "requests",
        match=["AzureDiagnostics", azure.group],
        columns=[("TimeGenerated", "datetime"), ("origin", "string"), ("requests", "long")],
        rows=[[at(now - 4000), "old", 1], [at(now - 60), "old", 2], [at(now - 30), "new", 3], [at(now + 60), "new", 4]],
        time="TimeGenerated",
    )

    found = logs(azure, f"AzureDiagnostics | where g == '{azure.group}'", timedelta(hours=1))

    assert isinstance(found, LogsQueryResult)
    assert [(row["origin"], row["requests"]) for row in found.tables[0].rows] == [("old", 2), ("new", 3)]
    azure.arm.advance(120)
    assert len(logs(azure, f"AzureDiagnostics | where g == '{azure.group}'", timedelta(hours=1)).tables[0].rows) == 3


def test_a_partial_result_and_an_error_are_what_the_sdk_makes_of_them(azure: Azure) -> None:
    columns = [("requests", "long")]
    azure.arm.answer_logs(
        "partial",
        match=[f"partial {azure.group}"],
        columns=columns,
        rows=[[5]],
        partial=("ResultTooLarge", "The results of this query exceed the set limit."),
    )
    azure.arm.answer_logs("error", match=[f"error {azure.group}"], error=("SemanticError", "no such column"))

    partial = logs(azure, f"partial {azure.group}")

    assert isinstance(partial, LogsQueryPartialResult)
    assert partial.partial_error
    assert partial.partial_error.code == "PartialError"
    assert [row["requests"] for row in partial.partial_data[0].rows] == [5]
    with pytest.raises(HttpResponseError, match="no such column"):
        logs(azure, f"error {azure.group}")
    with pytest.raises(HttpResponseError, match="The rehearsal has no answer to this query"):
        logs(azure, "something else")


def test_an_ordered_emptiness_has_columns_and_no_rows(azure: Azure) -> None:
    azure.arm.answer_logs("empty", match=[f"empty {azure.group}"], columns=[("requests", "long")], rows=[[5]])
    azure.arm.order("POST logs", "empty")

    table = logs(azure, f"empty {azure.group}").tables[0]

    assert (table.columns, table.rows) == (["requests"], [])
    assert len(logs(azure, f"empty {azure.group}").tables[0].rows) == 1, "once"


def test_metrics_are_summed_up_as_the_query_asks(azure: Azure) -> None:
    gateway = azure.gateway(azure.address())
    start = round(azure.arm.now()) - 600
    azure.arm.write_metric(gateway, "SNATConnectionCount", [(start, 3), (start + 30, 4)], ConnectionState="Failed")
    azure.arm.write_metric(gateway, "SNATConnectionCount", [(start, 900)], ConnectionState="Attempted")
    client = MetricsClient(azure.arm.url, azure.arm.credential(), connection_verify=str(azure.arm.certificate))
    begin = datetime.fromtimestamp(start, UTC)

    (result,) = client.query_resources(
        resource_ids=[gateway],
        metric_namespace="Microsoft.Network/natGateways",
        metric_names=["SNATConnectionCount"],
        timespan=(begin, begin + timedelta(minutes=2)),
        granularity=timedelta(minutes=1),
        aggregations=["Total", "Average"],
        filter="ConnectionState eq 'Failed'",
    )

    (series,) = result.metrics[0].timeseries
    assert [(point.total, point.average) for point in series.data] == [(7.0, 3.5), (None, None)]
    assert series.metadata_values == {"ConnectionState": "Failed"}
    with pytest.raises(HttpResponseError, match="Failed to find metric configuration"):
        client.query_resources(
            resource_ids=[gateway], metric_namespace="Microsoft.Network/natGateways", metric_names=["Nothing"]
        )


def test_quotas_add_what_the_simulated_nodes_use(azure: Azure) -> None:
    azure.arm.set_usages("westeurope", "Microsoft.Compute", {"cores": (10, 200), "standardDSv5Family": (1, 50)})
    body = azure.cluster_body({}, networkPlugin="azure", networkPluginMode="overlay")
    azure.make_cluster("it", {**body, "location": "westeurope"})
    path = f"/subscriptions/{azure.arm.subscription}/providers/Microsoft.Compute/locations/westeurope/usages"

    values = {item["name"]["value"]: (item["currentValue"], item["limit"]) for item in azure.get(path)["value"]}

    assert values == {"cores": (22, 200), "standardDSv5Family": (1, 50)}


def test_sizes_of_the_pools_are_known_and_others_when_they_are_named(azure: Azure) -> None:
    azure.arm.name_size("Standard_D8s_v5", "japaneast", vcpus=8, family="standardDSv5Family", restricted="NotAvailable")
    body = azure.cluster_body({}, networkPlugin="azure", networkPluginMode="overlay")
    azure.make_cluster("it", {**body, "location": "japaneast"})
    path = f"/subscriptions/{azure.arm.subscription}/providers/Microsoft.Compute/skus"

    found = azure.get(path, **{"$filter": "location eq 'Japan East'"})["value"]

    assert [(item["name"], item["capabilities"], len(item["restrictions"])) for item in found] == [
        ("Standard_D8s_v5", [{"name": "vCPUs", "value": "8"}], 1),
        ("Standard_D4s_v5", [{"name": "vCPUs", "value": "4"}], 0),
    ]


def test_the_activity_log_has_what_was_refused_and_what_failed(azure: Azure) -> None:
    azure.vnet()
    azure.arm.order("PUT Microsoft.Network/natGateways", "fail-later", code="OverconstrainedAllocationRequest")
    with pytest.raises(HttpResponseError):
        azure.network.nat_gateways.begin_create_or_update(azure.group, "egress", {"location": "eastus"}).result()
    subnet = {"properties": {"addressPrefix": "10.99.0.0/24"}}
    with pytest.raises(HttpResponseError):
        azure.network.subnets.begin_create_or_update(azure.group, "vnet", "nodes", subnet).result()
    path = f"/subscriptions/{azure.arm.subscription}/providers/Microsoft.Insights/eventtypes/management/values"
    wanted = f"eventTimestamp ge '{at(azure.arm.now() - 600)}' and resourceGroupName eq '{azure.group.upper()}'"

    entries = azure.get(path, **{"$filter": wanted})["value"]

    assert [
        (entry["operationName"]["value"], json.loads(entry["properties"]["statusMessage"])["error"]["code"])
        for entry in entries
    ] == [
        ("Microsoft.Network/natGateways/write", "OverconstrainedAllocationRequest"),
        ("Microsoft.Network/virtualNetworks/subnets/write", "NetcfgSubnetRangeOutsideVnet"),
    ]


# --- faults ---------------------------------------------------------------------------------------------------


def test_a_denied_list_names_the_action_and_the_scope(azure: Azure) -> None:
    azure.arm.order("LIST Microsoft.Network/natGateways", "deny", within=azure.group)

    with pytest.raises(HttpResponseError) as denied:
        list(azure.network.nat_gateways.list(azure.group))

    error: Any = denied.value.error
    assert (denied.value.status_code, error.code) == (403, "AuthorizationFailed")
    assert "to perform action 'Microsoft.Network/natGateways/read' over scope" in error.message
    assert list(azure.network.nat_gateways.list(azure.group)) == []


def test_a_throttled_request_is_repeated_by_the_sdk_itself(azure: Azure) -> None:
    azure.address()
    azure.arm.order("GET Microsoft.Network/publicIPAddresses", "throttle", count=2)
    azure.arm.forget_calls()

    assert azure.network.public_ip_addresses.get(azure.group, "egress").name == "egress"

    assert azure.arm.calls() == {"GET Microsoft.Network/publicIPAddresses": 3}
    codes = [entry["code"] for entry in azure.arm.requests()[-3:]]
    assert codes == ["SubscriptionRequestsThrottled", "SubscriptionRequestsThrottled", "OK"]


def test_an_answer_that_is_cut_off_is_no_answer(azure: Azure) -> None:
    azure.address()
    azure.arm.order("LIST Microsoft.Network/publicIPAddresses", "cut", count=0)
    client = NetworkManagementClient(
        azure.arm.credential(), azure.arm.subscription, **azure.arm.options(), retry_total=0
    )

    with pytest.raises(IncompleteReadError):
        list(client.public_ip_addresses.list(azure.group))


def test_an_emptied_list_looks_like_nothing(azure: Azure) -> None:
    azure.address()
    azure.arm.order("LIST Microsoft.Network/publicIPAddresses", "empty")

    assert list(azure.network.public_ip_addresses.list(azure.group)) == []
    assert len(list(azure.network.public_ip_addresses.list(azure.group))) == 1


def test_an_operation_can_fail_after_it_was_accepted(azure: Azure) -> None:
    azure.arm.order("PUT Microsoft.Network/natGateways", "fail-later", code="InternalServerError")
    body = {"location": "eastus", "properties": {}}

    with pytest.raises(HttpResponseError, match="InternalServerError"):
        azure.network.nat_gateways.begin_create_or_update(azure.group, "egress", body).result()

    assert azure.network.nat_gateways.get(azure.group, "egress").provisioning_state == "Failed"


def test_an_expired_or_missing_token_is_refused(azure: Azure) -> None:
    credential = RehearsalCredential(EXPIRED_TOKEN)
    client = NetworkManagementClient(credential, azure.arm.subscription, **azure.arm.options())

    with pytest.raises(ClientAuthenticationError, match="ExpiredAuthenticationToken"):
        list(client.nat_gateways.list(azure.group))


def test_a_type_that_is_not_simulated_is_no_empty_list(azure: Azure) -> None:
    path = f"{azure.group_id}/providers/Microsoft.Quantum/workspaces"

    with pytest.raises((ResourceNotFoundError, HttpResponseError)) as unknown:
        azure.get(path)

    assert unknown.value.status_code == 404


def test_what_is_ordered_wrongly_is_refused_with_what_would_be_right(azure: Azure) -> None:
    with pytest.raises(BackDoorRefusedError, match="a fault has no action; it has operation, effect"):
        azure.arm.back_door("POST", "faults", {"action": "x"})
    with pytest.raises(BackDoorRefusedError, match="effect: 'explode' is none of deny, throttle"):
        azure.arm.order("GET x", "explode")
    with pytest.raises(BackDoorRefusedError, match="colour is not a setting; the settings are start, speed"):
        azure.arm.change(colour=1)
