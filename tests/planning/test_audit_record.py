"""The audit's record: read back as it was written, clear only where it really is."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headroom.addresses.problems import ProblemsError
from headroom.planning.audit_record import (
    MAX_AGE,
    AuditRecord,
    AuditVerdict,
    Named,
    TypeCoverage,
    clear_for,
    file_name,
    read_record,
    write_record,
)

NOW = datetime(2026, 3, 7, 14, 0, tzinfo=UTC)
SQL = "Microsoft.Sql/servers"
CLEAR = AuditRecord(
    audited=NOW - timedelta(hours=1),
    old_addresses=("20.1.1.1",),
    new_addresses=("20.2.2.2", "20.2.3.0/30"),
    subscriptions=("s1",),
    coverage=(TypeCoverage(type=SQL, listed_by="resource_graph", found=3, read=3),),
    lists={"both": 2, "not_listed": 1},
    calls={"resource_graph": 2, "resource_manager": 3},
)
MISSING = Named(type=SQL, place="billing", because="lacks 20.2.2.2")
UNREAD = Named(type=SQL, place="billing", because="denied")


def rules(record: AuditRecord, *addresses: str, accept: tuple[str, ...] = ()) -> list[str]:
    return [problem.rule for problem in clear_for(record, addresses or ("20.2.2.2",), accept, NOW)]


def test_what_is_written_is_read_back() -> None:
    record = replace(CLEAR, old_only=(MISSING,), undecided=(UNREAD,))
    assert read_record(write_record(record), subject="audit.x.json") == record
    assert record.verdict is AuditVerdict.OLD_ONLY
    assert file_name("prod-egress") == "audit.prod-egress.json"


def test_a_clear_audit_clears_its_addresses_and_those_within_its_prefixes() -> None:
    assert rules(CLEAR, "20.2.2.2", "20.2.3.0/30", "20.2.3.1") == []


def test_other_addresses_are_not_cleared() -> None:
    assert rules(CLEAR, "20.2.2.3", "20.2.3.0/29", "no address") == ["audit-addresses"] * 3
    assert [problem.rule for problem in clear_for(CLEAR, (), (), NOW)] == ["audit-addresses"]
    assert rules(replace(CLEAR, new_addresses=())) == ["audit-addresses"]


def test_an_old_audit_and_one_from_the_future_clear_nothing() -> None:
    assert rules(replace(CLEAR, audited=NOW - MAX_AGE)) == []
    assert rules(replace(CLEAR, audited=NOW - MAX_AGE - timedelta(seconds=1))) == ["audit-age"]
    assert rules(replace(CLEAR, audited=NOW + timedelta(minutes=6))) == ["audit-age"]


def test_a_list_with_the_old_address_alone_is_never_accepted() -> None:
    assert rules(replace(CLEAR, old_only=(MISSING,)), accept=(SQL,)) == ["audit-old-only"]


def test_what_was_not_read_clears_nothing_until_somebody_answers_for_its_type() -> None:
    record = replace(CLEAR, undecided=(UNREAD, Named(type="databricks", place="databricks", because="nobody said")))
    assert record.verdict is AuditVerdict.UNDECIDED
    assert rules(record) == ["audit-undecided", "audit-undecided"]
    assert rules(record, accept=("microsoft.sql/SERVERS",)) == ["audit-undecided"]
    assert rules(record, accept=(SQL, "databricks")) == []


def test_what_has_been_confirmed_since_may_still_be_answered_for() -> None:
    assert rules(replace(CLEAR, kinds=("databricks",)), accept=("databricks",)) == []


def test_a_type_that_nobody_looked_at_cannot_be_accepted() -> None:
    assert rules(CLEAR, accept=("Microsoft.Sql/server",)) == ["audit-accepts"]


@pytest.mark.parametrize(
    "spoiled",
    [
        {"version": 2},
        {"verdict": "fine"},
        {"audited": "2026-03-07T14:00:00"},
        {"audited": 5},
        {"newAddresses": ["here"]},
        {"newAddresses": "20.2.2.2"},
        {"coverage": {}},
        {"coverage": [{"type": SQL}]},
        {"lists": {"both": -1}},
        {"oldOnly": [{"type": SQL}]},
        {"undecided": None},
    ],
    ids=str,
)
def test_a_file_that_is_no_record_is_refused(spoiled: dict[str, Any]) -> None:
    document = json.loads(write_record(CLEAR)) | spoiled
    with pytest.raises(ProblemsError, match="is no record of an audit"):
        read_record(json.dumps(document), subject="audit.x.json")


@pytest.mark.parametrize("text", ["", "{", "[]", "1", "null", "[" * 100_000])
def test_text_that_is_no_document_is_refused(text: str) -> None:
    with pytest.raises(ProblemsError, match="is no record of an audit"):
        read_record(text, subject="audit.x.json")


def test_a_verdict_mended_by_hand_is_refused() -> None:
    document = json.loads(write_record(replace(CLEAR, old_only=(MISSING,)))) | {"verdict": "clear"}
    with pytest.raises(ProblemsError, match="is not what its lists say: old_only"):
        read_record(json.dumps(document), subject="audit.x.json")
