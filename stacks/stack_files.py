"""Files of the stacks beside the one that runs: what one has begun may be what another must not undo."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from headroom.addresses.problems import Problem, ProblemsError
from headroom.planning.records import UNREADABLE


def beside(folder: Path, stack: str, *words: str) -> Iterator[Path]:
    """Files of other stacks that have all of these words, in any case; most files need not be parsed for that.

    Those that cannot be read may have them. An example is nobody's stack.
    """
    for path in sorted(folder.glob("Pulumi.*.yaml")):
        if path.name == f"Pulumi.{stack}.yaml" or path.name.startswith("Pulumi.example-"):
            continue
        try:
            text = path.read_text(encoding="utf-8", errors="replace").casefold()
        except OSError:
            yield path
        else:
            if all(word.casefold() in text for word in words):
                yield path


def config_of(path: Path, *, rule: str = "stack-file", next_step: str = "Mend it.") -> Mapping[str, Any]:
    """The `config` of a stack file, by keys with their namespaces.

    Raises:
        ProblemsError: It is not there, or is none.
    """
    # Only where there is such a file: a preview waits for what is loaded.
    import yaml  # noqa: PLC0415

    try:
        config = (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("config") or {}
        return {str(key): value for key, value in config.items()}
    except (OSError, yaml.YAMLError, *UNREADABLE) as error:
        reason = f"cannot be read as a stack file: {type(error).__name__}."
        raise ProblemsError([Problem(rule=rule, value=path.name, reason=reason, next_step=next_step)]) from None
