import pytest

from headroom.capacity.subnet_tags import TAGS_OF_OTHERS, tag_of_others


@pytest.mark.parametrize("tag", sorted(TAGS_OF_OTHERS))
def test_a_tag_that_brings_others_says_what_it_does(tag: str) -> None:
    key = f"{tag}enabled" if tag.endswith("/") else tag
    assert tag_of_others(key) == TAGS_OF_OTHERS[tag]
    assert tag_of_others(f"{key}/below") == TAGS_OF_OTHERS[tag]


@pytest.mark.parametrize("key", ["", "Name", "kubernetes.io/role/elbow", "karpenter.sh/discoverys", "Karpenter.sh/x"])
def test_other_tags_do_no_harm(key: str) -> None:
    assert tag_of_others(key) == ""
