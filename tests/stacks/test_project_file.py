from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pulumi
import pytest
import yaml

import stacks
from stacks import aks_egress, aks_overlay, aks_retire, aks_traffic, limits, watch
from stacks.emergency import read_settings
from stacks.settings import ConfigReader

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.conftest import Recorder

CHECKOUT = Path(__file__).parents[2]
AKS: dict[str, Any] = {
    "aks-egress": aks_egress,
    "aks-overlay": aks_overlay,
    "aks-traffic": aks_traffic,
    "aks-retire": aks_retire,
}
TYPES = {
    "text": ("string", ""),
    "texts": ("array", []),
    "mapping": ("object", {}),
}


def declared() -> Mapping[str, Any]:
    """The configuration that Pulumi.yaml declares."""
    project = yaml.safe_load((CHECKOUT / "Pulumi.yaml").read_text(encoding="utf-8"))
    config: Mapping[str, Any] = project["config"]
    return config


def example(name: str) -> dict[str, Any]:
    """The configuration of an example stack file."""
    text = (CHECKOUT / "stacks" / f"Pulumi.example-{name}.yaml").read_text(encoding="utf-8")
    config: dict[str, Any] = yaml.safe_load(text)["config"]
    return config


@pytest.fixture
def read(recorder: Recorder, example_config: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Mapping[str, Any]:
    """Type and default of every key that the program reads, by the way in which it is read."""
    found: dict[str, tuple[str, Any]] = {}

    class Noting(ConfigReader):
        def text(self, key: str) -> str:
            found[key] = TYPES["text"]
            return super().text(key)

        def texts(self, key: str) -> list[str]:
            found[key] = TYPES["texts"]
            return super().texts(key)

        def numbers(self, key: str) -> list[Any]:
            found[key] = TYPES["texts"]
            return super().numbers(key)

        def mapping(self, key: str) -> dict[str, Any]:
            found[key] = TYPES["mapping"]
            return super().mapping(key)

        def boolean(self, key: str, *, default: bool) -> bool:
            found[key] = ("boolean", default)
            return super().boolean(key, default=default)

        def integer(self, key: str, default: int) -> int:
            found[key] = ("integer", default)
            return super().integer(key, default)

    def get(config: pulumi.Config, key: str, default: str | None = None) -> str | None:
        asked.add(config.full_key(key))
        return original(config, key, default)

    asked: set[str] = set()
    original = pulumi.Config.get
    recorder.run(lambda: read_settings(Noting()), config=example_config)
    recorder.run(lambda: watch.read_settings(Noting()), config=example("watch"))
    recorder.run(lambda: limits.read_settings(Noting()), config=example("limits"))
    for name, stack in AKS.items():
        recorder.run(partial(stack.read_settings, Noting()), config=example(name))
    monkeypatch.setattr(pulumi.Config, "get", get)

    def stop(_: str) -> None:
        raise InterruptedError("only what is read before the stack's module counts")

    monkeypatch.setattr(stacks, "import_module", stop)
    with pytest.raises(InterruptedError):
        recorder.run(stacks.deploy, config=example_config)
    assert asked == {"headroom:remedy"}
    return {"headroom:remedy": ("string", None), **{f"headroom:{key}": value for key, value in found.items()}}


def test_every_key_that_is_read_is_declared_with_its_type_and_default(read: Mapping[str, Any]) -> None:
    said = {key: (entry["type"], entry.get("default")) for key, entry in declared().items()}
    assert said == dict(read)


def test_every_declared_key_is_described_and_lists_say_what_they_hold() -> None:
    for key, entry in declared().items():
        assert re.fullmatch(r"headroom:[a-z][a-zA-Z]*", key), key
        assert entry["description"], key
        held = (entry.get("items") or {}).get("type")
        assert held in (("string", "integer") if entry["type"] == "array" else (None,)), key


@pytest.mark.parametrize("name", ["emergency", "watch", *AKS])
def test_the_example_sets_declared_keys_only_and_its_comments_name_such_keys_too(name: str) -> None:
    known = {*declared(), "aws:region", "azure-native:location"}
    assert example(name).keys() <= known
    text = (CHECKOUT / "stacks" / f"Pulumi.example-{name}.yaml").read_text(encoding="utf-8")
    named = set(re.findall(r"(?<![:\w])(?:headroom|aws):[a-zA-Z]+", text))
    assert named <= known, f"misspelt in the example: {named - known}"


def test_the_project_is_kept_apart_from_other_tools_in_parent_folders() -> None:
    project = yaml.safe_load((CHECKOUT / "Pulumi.yaml").read_text(encoding="utf-8"))
    assert project["stackConfigDir"] == "stacks"
    assert project["runtime"] == {"name": "python", "options": {"toolchain": "pip", "virtualenv": ".venv"}}
    pack = yaml.safe_load((CHECKOUT / "policies" / "PulumiPolicy.yaml").read_text(encoding="utf-8"))
    assert pack["runtime"] == {"name": "python", "options": {"toolchain": "pip", "virtualenv": "../.venv"}}
