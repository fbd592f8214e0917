"""The stand-in for azure-native may not invent properties: each is held against the real SDK's classes."""

import importlib
import inspect
import re
from types import ModuleType
from typing import Any

import pytest
from pulumi._types import input_type_py_to_pulumi_names

from headroom.rehearsal.providers.azure_kinds import KINDS, ArmKind
from headroom.rehearsal.providers.azure_native import PACKAGE

BY_TOKEN = sorted(KINDS, key=lambda kind: kind.token)
ADDED = {"azureApiVersion"}


def module_of(token: str) -> ModuleType:
    """The SDK's module of a package's part, such as `network`; only what is named is loaded of it."""
    return importlib.import_module(f"pulumi_azure_native.{token.split(':')[1]}")


def sdk_class(kind: ArmKind) -> Any:
    return getattr(module_of(kind.token), kind.token.rsplit(":", 1)[-1])


def sdk_arguments(kind: ArmKind) -> Any:
    """The class of its arguments; `…InitArgs` where the plain name is that of a nested type."""
    source = importlib.import_module(sdk_class(kind).__module__)
    (name,) = (name for name in source.__all__ if name.endswith("Args"))
    return getattr(source, name)


def sdk_inputs(kind: ArmKind) -> set[str]:
    return set(input_type_py_to_pulumi_names(sdk_arguments(kind)).values())


def sdk_outputs(kind: ArmKind) -> set[str]:
    source = inspect.getsource(sdk_class(kind))
    named = set(re.findall(r'pulumi\.getter\(name="(\w+)"\)', source))
    return named | set(re.findall(r"@pulumi\.getter\n\s+def (\w+)", source))


@pytest.mark.parametrize("kind", BY_TOKEN, ids=lambda kind: kind.token)
def test_every_property_of_a_resource_type_is_one_of_the_real_sdk(kind: ArmKind) -> None:
    inputs, outputs = sdk_inputs(kind), sdk_outputs(kind)

    assert (kind.inputs - ADDED) | kind.not_simulated == inputs, "every input is either simulated or refused by name"
    assert kind.outputs == outputs - inputs, "no output is forgotten, none invented"
    assert kind.outputs_named_like_inputs <= inputs & outputs
    assert set(kind.in_path) <= inputs
    assert {path.split(".")[0] for path in kind.replaces} <= kind.inputs


@pytest.mark.parametrize("kind", BY_TOKEN, ids=lambda kind: kind.token)
def test_no_property_is_of_two_kinds(kind: ArmKind) -> None:
    groups = [kind.required, kind.optional, kind.optional_computed, kind.not_simulated, kind.outputs]

    assert sum(len(group) for group in groups) == len(frozenset().union(*groups))


@pytest.mark.parametrize("kind", BY_TOKEN, ids=lambda kind: kind.token)
def test_what_is_required_here_is_required_by_the_real_sdk(kind: ArmKind) -> None:
    arguments = sdk_arguments(kind)
    names = input_type_py_to_pulumi_names(arguments)
    required = {
        names[name]
        for name, parameter in inspect.signature(arguments.__init__).parameters.items()
        if name in names and parameter.default is inspect.Parameter.empty
    }

    assert kind.required == required


@pytest.mark.parametrize("kind", BY_TOKEN, ids=lambda kind: kind.token)
def test_the_api_version_is_the_one_that_the_sdk_names(kind: ArmKind) -> None:
    found = re.search(r"Uses Azure REST API version ([\w-]+?)\.", inspect.getsource(sdk_class(kind)))

    assert found
    assert kind.api_version == found[1]


@pytest.mark.parametrize("kind", BY_TOKEN, ids=lambda kind: kind.token)
def test_nested_properties_that_replace_are_of_the_real_sdk(kind: ArmKind) -> None:
    names = input_type_py_to_pulumi_names(
        importlib.import_module("pulumi_azure_native.containerservice").ContainerServiceNetworkProfileArgs
    )
    nested = {path.removeprefix("networkProfile.") for path in kind.replaces if path.startswith("networkProfile.")}

    assert nested - {"nodePublicIPTags"} <= set(names.values())


@pytest.mark.parametrize("token", sorted(PACKAGE.functions))
def test_a_function_is_one_of_the_real_sdk_and_takes_its_arguments(token: str) -> None:
    # By its name: a module may have loaded no other names yet.
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", token.rpartition(":")[2]).lower()
    found = [inspect.getsource(getattr(module_of(token), words))]

    assert f"'{token}'" in found[0]
