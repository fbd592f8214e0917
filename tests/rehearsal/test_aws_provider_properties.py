"""The stand-in for aws may not invent properties: each is held against the real SDK's classes."""

import importlib
import inspect
import keyword
from types import ModuleType

import pulumi_aws
import pytest
from pulumi._types import input_type_py_to_pulumi_names

from headroom.rehearsal.providers.aws import PACKAGE
from headroom.rehearsal.providers.common import ResourceKind

pytestmark = pytest.mark.filterwarnings(
    r"ignore:aws\..* has been deprecated:DeprecationWarning"  # the SDK's own, while it imports a whole service
)

KINDS = sorted(PACKAGE.kinds, key=lambda kind: kind.token)


def module_of(token: str) -> ModuleType:
    """The SDK's module for a token such as `aws:ec2/subnet:Subnet`."""
    name = token.split(":")[1].split("/", maxsplit=1)[0]
    # What is a word of Python has an underscore behind it.
    module: ModuleType = getattr(pulumi_aws, f"{name}_" if keyword.iskeyword(name) else name)
    return module


def names_of(cls: type) -> set[str]:
    return set(input_type_py_to_pulumi_names(cls).values())


def sdk_names(kind: ResourceKind) -> tuple[set[str], set[str]]:
    """Input and output names of the real resource."""
    cls = getattr(module_of(kind.token), kind.token.rsplit(":", 1)[-1])
    source = importlib.import_module(cls.__module__)
    inputs = names_of(getattr(source, f"{cls.__name__}Args"))
    return inputs, names_of(getattr(source, f"_{cls.__name__}State"))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.token)
def test_every_property_of_a_resource_type_is_one_of_the_real_sdk(kind: ResourceKind) -> None:
    inputs, everything = sdk_names(kind)

    assert kind.inputs | kind.not_simulated == inputs, "every input is either simulated or refused by name"
    assert kind.outputs <= everything - inputs
    assert kind.replaces <= kind.inputs
    assert kind.outputs | inputs >= everything - {"ipv6CidrBlockNetworkBorderGroup"}, "no output is forgotten"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.token)
def test_no_property_is_of_two_kinds(kind: ResourceKind) -> None:
    groups = [kind.required, kind.optional, kind.optional_computed, kind.not_simulated, kind.outputs]

    assert sum(len(group) for group in groups) == len(frozenset().union(*groups))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.token)
def test_what_is_required_here_is_required_by_the_real_sdk(kind: ResourceKind) -> None:
    cls = getattr(module_of(kind.token), kind.token.rsplit(":", 1)[-1])
    args = getattr(importlib.import_module(cls.__module__), f"{cls.__name__}Args")
    translated = input_type_py_to_pulumi_names(args)
    parameters = inspect.signature(args.__init__).parameters

    required = {
        translated[name]
        for name, parameter in parameters.items()
        if name != "__self__" and parameter.default is inspect.Parameter.empty
    }
    assert kind.required == required
