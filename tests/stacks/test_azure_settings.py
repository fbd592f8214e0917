"""What stacks on Azure read of their surroundings."""

from datetime import UTC, datetime, timedelta

import pytest

from stacks.azure_settings import now

SIMULATED = "2026-03-13T18:00:00+00:00"


def test_a_rehearsal_gives_the_time_of_its_own_azure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADROOM_REHEARSAL_ARM", "https://127.0.0.1:40001")
    monkeypatch.setenv("HEADROOM_REHEARSAL_NOW", SIMULATED)
    assert now() == datetime(2026, 3, 13, 18, tzinfo=UTC)


@pytest.mark.parametrize("arm", ["", "https://management.azure.com"])
def test_without_a_rehearsal_no_variable_moves_the_time(arm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADROOM_REHEARSAL_ARM", arm)
    monkeypatch.setenv("HEADROOM_REHEARSAL_NOW", SIMULATED)
    assert abs(now() - datetime.now(UTC)) < timedelta(minutes=1)
