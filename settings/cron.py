"""Cron lines as GitLab reads them: its parser is fugit (fugit 1.5 to 1.11, lib/fugit/cron.rb)."""

import re

_NAMES = {
    "month": ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    "weekday": ["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
}
_BOUNDS = {"minute": (0, 59), "hour": (0, 23), "day": (1, 31), "month": (1, 12), "weekday": (0, 7)}
# fugit reads a number with one zero before it, but not a weekday with one.
_DIGITS = {"weekday": 1}
_LONGEST_MONTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def fault(line: str) -> str | None:
    """Why GitLab would refuse a line of five fields; None where it takes it.

    Months and weekdays have names too, as in `mon-fri`; a range may go over the end, as in `22-2`.
    """
    found: dict[str, set[int]] = {}
    for (unit, (least, most)), text in zip(_BOUNDS.items(), line.split(), strict=True):
        items = [_values(item, unit) for item in text.split(",")]
        if not all(items):
            return f"{text} is no {unit} from {least} to {most}"
        found[unit] = set().union(*items)
    if all(day > _LONGEST_MONTHS[month - 1] for month in found["month"] for day in found["day"]):
        return f"{line.split()[2]} is a day that none of its months has"
    return None


def _values(item: str, unit: str) -> set[int]:
    """What one item of a field, such as 1-5/2, stands for; nothing where it is wrong."""
    match = re.fullmatch(r"(?:\*|(\w+)(?:-(\w+))?)(?:/(\d\d?))?", item.lower(), re.ASCII)
    least, most = _BOUNDS[unit]
    if match is None or not (step := int(match[3] or 1)):
        return set()
    if match[1] is None:
        return set(range(least, most + 1, step))
    first = _number(match[1], unit)
    # fugit takes 5/2 for 5-59/2, but 5/1 for 5.
    last = _number(match[2], unit) if match[2] else most if step > 1 else first
    if first is None or last is None:
        return set()
    line = [*range(first, most + 1), *range(least, last + 1)] if first > last else []
    return set((line or list(range(first, last + 1)))[::step])


def _number(text: str, unit: str) -> int | None:
    names, (least, most) = _NAMES.get(unit, []), _BOUNDS[unit]
    if text in names:
        return names.index(text) + least
    if not text.isdecimal() or len(text) > _DIGITS.get(unit, 2):
        return None
    return int(text) if least <= int(text) <= most else None
