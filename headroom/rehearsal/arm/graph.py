"""Azure Resource Graph, as far as collectors ask: one table, `where`, `project`, `extend`, `order by`, `take`, counts.

As the real one: a type that it does not know has no rows, which is no error; an answer has at most 1,000 rows and a
`$skipToken` only where the rows have an `id` (Azure Resource Graph documentation, work-with-data); the quota and what
is left of it are told with every answer (guidance-for-throttled-requests). Children such as SQL's firewall rules are
in no table (supported-tables-resources). What this reader of queries does not know, it refuses as a faulty query.
"""

import base64
import json
import re
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from headroom.rehearsal.arm.errors import ArmError
from headroom.rehearsal.arm.ids import GROUP_TYPE, SUBSCRIPTION_TYPE
from headroom.rehearsal.arm.settings import TENANT, Settings
from headroom.rehearsal.arm.world import Record, World, copied

Row = dict[str, Any]
Show = Callable[[Record], Row]

DEFAULT_ROWS: Final = 100
"""Rows of an answer to a query through the API without `$top` (Azure Resource Graph documentation,
work-with-data)."""

SUBSCRIPTIONS_OF_A_QUERY: Final = 1_000
"""Subscriptions that a query names at most (Azure Resource Graph documentation, troubleshoot/general)."""

TABLES: Final[Mapping[str, frozenset[str]]] = {
    "resourcecontainers": frozenset({GROUP_TYPE.casefold(), SUBSCRIPTION_TYPE.casefold()}),
    "networkresources": frozenset({"microsoft.network/firewallpolicies/rulecollectiongroups"}),
    "appserviceresources": frozenset({"microsoft.web/sites/config"}),
}
"""Tables beside `resources`, and the types in them that a rehearsal has."""

_SHOWN_TYPES: Final = {
    GROUP_TYPE.casefold(): "microsoft.resources/subscriptions/resourcegroups",
    "microsoft.web/sites/config": "microsoft.web/sites/config/web",
}
_CHILDREN: Final = frozenset({"microsoft.cdn/profiles/afdendpoints"})
"""Children that the table `resources` has."""

_STEP: Final = re.compile(r"\|(?=(?:[^'\"]*(?:'[^']*'|\"[^\"]*\"))*[^'\"]*$)")
_TERM: Final = re.compile(
    r"^(?P<name>[\w.\[\]']+)\s*(?P<how>=~|==|!~|!=|!in~|in~|!in|in|contains|has|startswith|endswith)\s*(?P<what>.+)$",
    re.IGNORECASE | re.DOTALL,
)
_TEXT: Final = re.compile(r"'([^']*)'|\"([^\"]*)\"")
_CALL: Final = re.compile(r"^(tostring|tolower|toint|tobool|todynamic)\((.*)\)$", re.IGNORECASE | re.DOTALL)
_NAME: Final = re.compile(r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*|\['[^']+'\]|\[\d+\])*$")


class Quota:
    """Queries in a window of time, on the wall's clock."""

    def __init__(self) -> None:
        self._times: deque[float] = deque()

    def take(self, settings: Settings) -> tuple[int, float]:
        """Counts a query; gives how many are left, and in how many seconds the window ends.

        Raises:
            ArmError: There were too many.
        """
        now = time.monotonic()
        while self._times and self._times[0] <= now - settings.graph_seconds:
            self._times.popleft()
        resets = settings.graph_seconds - (now - self._times[0]) if self._times else settings.graph_seconds
        if len(self._times) >= settings.graph_quota:
            raise ArmError(
                429,
                "RateLimiting",
                "Please provide below info when asking for support.",
                retry_after=resets,
                details=[
                    {
                        "code": "RateLimiting",
                        "message": "Client application has been throttled and should not attempt to repeat the request "
                        "until an amount of time has elapsed. Please see https://aka.ms/resourcegraph-throttling for "
                        "help.",
                    }
                ],
            )
        self._times.append(now)
        return settings.graph_quota - len(self._times), resets


def headers_of(left: int, resets: float) -> dict[str, str]:
    """What every answer says about the quota."""
    seconds = max(0, round(resets))
    return {
        "x-ms-user-quota-remaining": str(left),
        "x-ms-user-quota-resets-after": f"00:{seconds // 60:02d}:{seconds % 60:02d}",
    }


def answer(world: World, show: Show, body: Mapping[str, Any]) -> dict[str, Any]:
    """Answers a query.

    Args:
        world: The simulated Azure.
        show: A resource as a GET shows it.
        body: The request: `query`, `subscriptions`, `options`.

    Raises:
        ArmError: The query is faulty, or names too many subscriptions.
    """
    subscriptions = [str(item) for item in body.get("subscriptions") or world.subscriptions]
    if len(subscriptions) > SUBSCRIPTIONS_OF_A_QUERY:
        raise _bad(f"A query names at most {SUBSCRIPTIONS_OF_A_QUERY} subscriptions.", "TooManySubscriptions")
    options = body.get("options") or {}
    query = str(body.get("query") or "")
    rows, limited = _run(world, show, query, {item.casefold() for item in subscriptions})
    first = int(options.get("$skip") or 0)
    token = options.get("$skipToken")
    if token:
        first = _place_of(str(token), query)
    most = min(int(options.get("$top") or DEFAULT_ROWS), world.settings.graph_page)
    page = rows[first : first + most]
    more = first + most < len(rows)
    result: dict[str, Any] = {
        "totalRecords": len(rows),
        "count": len(page),
        "data": page,
        "facets": [],
        "resultTruncated": "false",
    }
    if more and page and "id" in page[0] and not limited:
        result["$skipToken"] = _token(first + most, query)
    elif more:
        result["resultTruncated"] = "true"
    if options.get("resultFormat") == "table":
        columns = list(page[0]) if page else []
        result["data"] = {
            "columns": [{"name": name, "type": "string"} for name in columns],
            "rows": [[row.get(name) for name in columns] for row in page],
        }
    return result


def row_of(record: Record, shown: Row) -> Row:
    """A resource as a row of its table."""
    key = record.path.type.casefold()
    return {
        "id": record.path.text,
        "name": record.path.name,
        "type": _SHOWN_TYPES.get(key, key),
        "tenantId": TENANT,
        "kind": shown.get("kind", ""),
        "location": shown.get("location", ""),
        "resourceGroup": record.path.group.lower(),
        "subscriptionId": record.path.subscription,
        "managedBy": shown.get("managedBy", ""),
        "sku": shown.get("sku"),
        "plan": None,
        "properties": shown.get("properties"),
        "tags": shown.get("tags"),
        "identity": shown.get("identity"),
        "zones": shown.get("zones"),
        "extendedLocation": None,
    }


def in_table(record: Record, table: str) -> bool:
    """Whether a table of Resource Graph has the resource."""
    type_ = record.path.type.casefold()
    if table in TABLES:
        return type_ in TABLES[table]
    special = any(type_ in types for types in TABLES.values())
    return not special and not record.path.scope and (len(record.path.types) == 1 or type_ in _CHILDREN)


def _run(world: World, show: Show, query: str, subscriptions: set[str]) -> tuple[list[Row], bool]:
    text = re.sub(r"//[^\n]*", "", query).strip()
    steps = [step.strip() for step in _STEP.split(text) if step.strip()]
    if not steps:
        raise _bad("The query is empty.")
    table = steps[0].casefold()
    if table != "resources" and table not in TABLES:
        steps.insert(0, "resources") if _is_step(steps[0]) else None
        table = steps[0].casefold()
    if table != "resources" and table not in TABLES:
        raise _bad(f"Table {steps[0]} was not found.", "DisallowedLogicalTableName")
    rows = [
        row_of(record, copied(show(record)))
        for record in world.records.values()
        if record.path.subscription.casefold() in subscriptions and in_table(record, table)
    ]
    limited = False
    for step in steps[1:]:
        word, _, rest = step.partition(" ")
        doing = _STEPS.get(word.casefold())
        if doing is None:
            raise _bad(f"The operator {word} is not one that the rehearsal's Resource Graph knows.")
        rows = doing(rows, rest.strip())
        limited = limited or word.casefold() in {"take", "limit", "top"}
    return rows, limited


def _is_step(text: str) -> bool:
    return text.partition(" ")[0].casefold() in _STEPS


def _where(rows: list[Row], text: str) -> list[Row]:
    for term in re.split(r"\s+and\s+", text, flags=re.IGNORECASE):
        if re.search(r"\s+or\s+", _TEXT.sub("", term), flags=re.IGNORECASE):
            raise _bad(f"The rehearsal's Resource Graph knows no `or`: {term}")
        rows = _kept(rows, term.strip())
    return rows


def _kept(rows: list[Row], term: str) -> list[Row]:
    simple = re.fullmatch(r"(isnotempty|isnotnull|isempty|isnull)\((.+)\)", term, re.IGNORECASE)
    if simple:
        wanted = simple[1].casefold() in {"isnotempty", "isnotnull"}
        return [row for row in rows if bool(_value(row, simple[2].strip()) not in (None, "", [], {})) == wanted]
    found = _TERM.match(term)
    if not found:
        raise _bad(f"The rehearsal's Resource Graph cannot read the condition: {term}")
    name, how = found["name"], found["how"].casefold()
    listed = [one or two for one, two in _TEXT.findall(found["what"])]
    if not listed:
        listed = [found["what"].strip("() ")]
    return [row for row in rows if _holds(_value(row, name), how, listed)]


def _holds(value: Any, how: str, listed: Sequence[str]) -> bool:
    negated, how = how.startswith("!"), how.lstrip("!")
    text = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    exact = how in {"==", "=", "in"}
    one = text if exact else text.casefold()
    others = [item if exact else item.casefold() for item in listed]
    return any(_matches(one, how, item) for item in others) != negated


def _matches(text: str, how: str, item: str) -> bool:
    if how in {"contains", "has"}:
        return item in text
    if how == "startswith":
        return text.startswith(item)
    return text.endswith(item) if how == "endswith" else text == item


def _value(row: Row, text: str) -> Any:
    """The value of a column, or of a path into one; names are case-sensitive, as in the real one."""
    value: Any
    call = _CALL.match(text)
    if call:
        value = _value(row, call[2].strip())
        if call[1].casefold() == "tostring":
            return "" if value is None else value if isinstance(value, str) else json.dumps(value)
        return str(value).lower() if call[1].casefold() == "tolower" else value
    literal = _TEXT.fullmatch(text)
    if literal:
        return literal[1] or literal[2] or ""
    if not _NAME.match(text):
        raise _bad(f"The rehearsal's Resource Graph cannot read the expression: {text}")
    value = row
    for part in re.findall(r"[A-Za-z_]\w*|(?<=\[')[^']+|(?<=\[)\d+", text):
        if isinstance(value, list) and part.isdigit():
            value = value[int(part)] if int(part) < len(value) else None
        else:
            value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _columns(text: str) -> list[tuple[str, str]]:
    found = []
    for item in re.split(r",(?![^(]*\))", text):
        name, sign, expression = item.partition("=")
        source = expression.strip() if sign else name.strip()
        found.append((name.strip() if sign else source.rpartition(".")[2], source))
    return found


def _project(rows: list[Row], text: str) -> list[Row]:
    columns = _columns(text)
    return [{name: _value(row, source) for name, source in columns} for row in rows]


def _extend(rows: list[Row], text: str) -> list[Row]:
    columns = _columns(text)
    return [{**row, **{name: _value(row, source) for name, source in columns}} for row in rows]


def _order(rows: list[Row], text: str) -> list[Row]:
    for item in reversed(text.removeprefix("by ").split(",")):
        name, _, way = item.strip().partition(" ")
        rows = sorted(
            rows, key=lambda row: str(_value(row, name) or "").casefold(), reverse=way.strip().casefold() != "asc"
        )
    return rows


def _take(rows: list[Row], text: str) -> list[Row]:
    return rows[: int(text)]


def _count(rows: list[Row], text: str) -> list[Row]:
    del text
    return [{"Count": len(rows)}]


def _summarize(rows: list[Row], text: str) -> list[Row]:
    found = re.fullmatch(r"(?:(\w+)\s*=\s*)?count\(\)(?:\s+by\s+(.+))?", text.strip(), re.IGNORECASE | re.DOTALL)
    if not found:
        raise _bad(f"The rehearsal's Resource Graph summarizes by count() only: {text}")
    columns = _columns(found[2]) if found[2] else []
    counts: dict[tuple[str, ...], tuple[Row, int]] = {}
    for row in rows:
        part = {name: _value(row, source) for name, source in columns}
        key = tuple(json.dumps(value, sort_keys=True) for value in part.values())
        counts[key] = (part, counts.get(key, (part, 0))[1] + 1)
    return [{**part, found[1] or "count_": count} for part, count in counts.values()]


_STEPS: Final[Mapping[str, Callable[[list[Row], str], list[Row]]]] = {
    "where": _where,
    "project": _project,
    "extend": _extend,
    "order": _order,
    "sort": _order,
    "take": _take,
    "limit": _take,
    "count": _count,
    "summarize": _summarize,
}


def _token(place: int, query: str) -> str:
    return base64.b64encode(json.dumps({"place": place, "query": query}).encode()).decode()


def _place_of(token: str, query: str) -> int:
    try:
        found = json.loads(base64.b64decode(token))
        if found["query"] == query:
            return int(found["place"])
    except (ValueError, KeyError, TypeError):
        pass
    raise _bad("The skip token is not one of this query.", "InvalidSkipToken")


def _bad(message: str, code: str = "InvalidQuery") -> ArmError:
    details = [{"code": code, "message": message}]
    return ArmError(400, "BadRequest", "Please provide below info when asking for support.", details=details)
