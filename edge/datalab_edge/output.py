"""Rows for people and for programs."""

import csv
import json
from collections.abc import Iterable, Sequence
from datetime import date, time
from decimal import Decimal
from functools import singledispatch
from math import isfinite
from typing import Any, TextIO


def write_json(columns: Sequence[str], rows: Iterable[Sequence[Any]], to: TextIO) -> None:
    """A list of objects, a row a line."""
    to.write("[")
    for number, row in enumerate(rows):
        to.write(",\n " if number else "\n ")
        # NaN is not JSON: what reads this would refuse all of it.
        json.dump(_plain(dict(zip(columns, row, strict=True))), to, allow_nan=False)
    to.write("\n]\n")


def write_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]], to: TextIO) -> None:
    """With a line of names; lists and structures as JSON, so that a cell can be read again."""
    writer = csv.writer(to, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        plain = (_plain(value) for value in row)
        writer.writerow(
            json.dumps(value) if isinstance(value, dict | list | bool) else value for value in plain
        )


@singledispatch
def _plain(value: Any) -> Any:
    """As JSON knows it; what it does not know, as text."""
    return str(value)


@_plain.register(int)
@_plain.register(str)
@_plain.register(type(None))
def _same(value: Any) -> Any:
    return value


@_plain.register(float)
def _finite(value: float) -> float | None:
    return value if isfinite(value) else None


@_plain.register(Decimal)
def _decimal(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() else float(value)


@_plain.register(date)
@_plain.register(time)
def _iso(value: date | time) -> str:
    return value.isoformat()


@_plain.register(bytes)
def _hex(value: bytes) -> str:
    return value.hex()


@_plain.register(dict)
def _object(value: dict[Any, Any]) -> dict[str, Any]:
    return {str(key): _plain(part) for key, part in value.items()}


@_plain.register(list)
@_plain.register(tuple)
def _list(value: Sequence[Any]) -> list[Any]:
    return [_plain(part) for part in value]


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Columns side by side, numbers to the right."""
    texts = [[_cell(value) for value in row] for row in rows]
    numbers = [
        bool(texts) and all(text.replace(",", "").lstrip("-").isdigit() for text in column if text)
        for column in zip(*texts, strict=True)
    ] or [False] * len(columns)
    widths = [
        max(len(name), *(len(row[place]) for row in texts), 0) for place, name in enumerate(columns)
    ]
    lines = [list(columns), ["-" * width for width in widths], *texts]
    return "\n".join(
        "  ".join(
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(line, widths, numbers, strict=True)
        ).rstrip()
        for line in lines
    )


def _cell(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return "" if value is None else str(value)
