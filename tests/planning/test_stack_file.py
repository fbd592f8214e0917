"""The YAML of a stack file reads back as what was meant, whatever the names of a cluster hold."""

import yaml
from hypothesis import given
from hypothesis import strategies as st

from headroom.planning.stack_file import Entry, stack_file

TEXTS = st.text(max_size=40)


@given(value=TEXTS)
def test_a_text_reads_back_as_it_was(value: str) -> None:
    written = stack_file("A title.", [Entry(key="headroom:clusterName", value=value)])
    assert yaml.safe_load(written) == {"config": {"headroom:clusterName": value}}


@given(key=TEXTS, comment=st.text(max_size=300))
def test_a_comment_never_becomes_a_value(key: str, comment: str) -> None:
    written = stack_file(comment, [Entry(key="headroom:tags", value={key: "1"}, comment=comment)])
    assert yaml.safe_load(written) == {"config": {"headroom:tags": {key: "1"}}}


def test_a_version_is_quoted_lest_it_become_a_number() -> None:
    written = stack_file("t", [Entry(key="headroom:cniVersion", value="1.20")])
    assert yaml.safe_load(written) == {"config": {"headroom:cniVersion": "1.20"}}


def test_words_that_yaml_reads_as_truth_are_quoted() -> None:
    values = ["yes", "on", "true", "null", "NO", "y"]
    written = stack_file("t", [Entry(key="headroom:secondaryCidrs", value=values)])
    assert yaml.safe_load(written) == {"config": {"headroom:secondaryCidrs": values}}


def test_numbers_and_truth_stay_what_they_are() -> None:
    written = stack_file("t", [Entry(key="a", value={"n": 5, "b": False, "l": [], "m": {}})])
    assert yaml.safe_load(written) == {"config": {"a": {"n": 5, "b": False, "l": [], "m": {}}}}
