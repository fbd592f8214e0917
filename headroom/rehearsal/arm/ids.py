"""Resource ids and the paths of requests. Azure compares both without regard to case."""

from dataclasses import dataclass
from typing import Self

GROUP_TYPE = "Microsoft.Resources/resourceGroups"
SUBSCRIPTION_TYPE = "Microsoft.Resources/subscriptions"


def key_of(identifier: str) -> str:
    """What two spellings of an id have in common."""
    return "/" + identifier.strip("/").casefold()


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """A path below Azure Resource Manager, taken apart.

    Attributes:
        text: The path as it was given, without a slash at the end.
        subscription: The subscription's id; empty above subscriptions.
        group: The resource group; empty above groups.
        scope: What an extension resource, such as a role assignment, belongs to; empty for all others.
        namespace: The resource provider, such as `Microsoft.Network`; empty for groups and subscriptions.
        types: The words of the type, such as `("virtualNetworks", "subnets")`.
        names: The names; one less than the types for a list, as many for a resource.
    """

    text: str
    subscription: str = ""
    group: str = ""
    scope: str = ""
    namespace: str = ""
    types: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads a path; what follows no rule of Azure's ends as types without a namespace."""
        text = "/" + text.strip("/")
        words = text.strip("/").split("/")
        lower = [word.casefold() for word in words]
        subscription = words[1] if lower[0] == "subscriptions" and len(words) > 1 else ""
        group = words[3] if subscription and len(words) > 3 and lower[2] == "resourcegroups" else ""  # noqa: PLR2004
        places = [index for index, word in enumerate(lower) if word == "providers"]
        if not places:
            above = words[4:] if group else words[2:] if subscription else words
            return cls(text=text, subscription=subscription, group=group, types=tuple(above))
        last = places[-1]
        rest = words[last + 1 :]
        scope = "/" + "/".join(words[:last])
        own = len(places) > 1 or (rest and rest[0].casefold() in _EXTENSIONS)
        return cls(
            text=text,
            subscription=subscription,
            group=group,
            scope=scope if own else "",
            namespace=rest[0] if rest else "",
            types=tuple(rest[1::2]),
            names=tuple(rest[2::2]),
        )

    @property
    def is_resource(self) -> bool:
        """Whether it names one resource, not a list or an action."""
        if self.namespace:
            return bool(self.types) and len(self.types) == len(self.names)
        return not self.types and bool(self.subscription)

    @property
    def type(self) -> str:
        """The type of the resource, or of those in the list."""
        if self.namespace:
            return "/".join((self.namespace, *self.types))
        return GROUP_TYPE if self.group or _is_groups(self.types) else SUBSCRIPTION_TYPE

    @property
    def key(self) -> str:
        """What identifies the resource."""
        return key_of(self.text)

    @property
    def name(self) -> str:
        """The last name."""
        return self.names[-1] if self.names else self.group or self.subscription

    @property
    def parent(self) -> str:
        """The id of the resource in which this child lies; empty for others."""
        return self.text.rsplit("/", 2)[0] if len(self.names) > 1 else ""

    @property
    def within(self) -> str:
        """The id of the first resource of the chain: of a subnet, its VNet."""
        extra = 2 * (len(self.names) - 1)
        return self.text.rsplit("/", extra)[0] if extra > 0 else self.text


_EXTENSIONS = frozenset({"microsoft.authorization"})


def _is_groups(types: tuple[str, ...]) -> bool:
    return bool(types) and types[0].casefold() == "resourcegroups"


def referred(value: object) -> str:
    """The id in `{"id": "…"}`; empty where there is none."""
    found = value.get("id") if isinstance(value, dict) else None
    return found if isinstance(found, str) else ""
