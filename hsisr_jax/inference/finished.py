"""The record of what an output was made from, `<output>.work.json`: digests of work and files."""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from hsisr_jax import formats, identity
from hsisr_jax.files import write_text


def record(target: Path) -> Path:
    """The path of the record."""
    data = formats.written_files(target)[0]
    return data.with_name(f"{data.name}.work.json")


def tell(target: Path, work: Mapping[str, Any]) -> None:
    """Writes the record of a complete output."""
    found = {"work": work, "output": identity.of_files(formats.written_files(target))}
    write_text(record(target), json.dumps(found, sort_keys=True))


def made_from(target: Path, work: Mapping[str, Any]) -> bool:
    """Whether the output exists, was made from this work and has not changed since."""
    with suppress(OSError, ValueError, AttributeError, KeyError):
        found = json.loads(record(target).read_text())
        same = not identity.changes(found["work"], json.loads(json.dumps(work)))
        return same and found["output"] == identity.of_files(formats.written_files(target))
    return False
