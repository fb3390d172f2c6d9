"""What the settings take, the servers take that read it (issue 10, entry 11)."""

import random
import re
import subprocess
import zoneinfo
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from provision import specs
from settings import cron, schema, time_zones
from settings.apps.model_server import recipe as model_server
from settings.apps.web import recipe as web
from settings.services.gitlab_project import GroupPath, ProjectPath
from tests.harness.extremes import LONGEST_DOMAIN

pytestmark = pytest.mark.slow
LINES = 6000


def words(rng: random.Random, least: int, most: int, names: tuple[str, ...]) -> str:
    """One field of a cron line, as people write them and as they get them wrong."""

    def value() -> str:
        number = rng.randint(least, most)
        return rng.choice((str(number), str(number), f"{number:02}", *names))

    items = []
    for _ in range(rng.choice((1, 1, 1, 2))):
        item = rng.choice(("*", value(), value(), f"{value()}-{value()}"))
        items.append(item + rng.choice(("", "", f"/{rng.choice((1, 2, 15, 60, 99, 100))}")))
    return ",".join(items)


def fugit(lines: list[str]) -> list[str]:
    """Those that GitLab's own parser of cron lines refuses."""
    code = "STDIN.each_line{|l| puts l if Fugit::Cron.parse(l.chomp).nil?}"
    done = subprocess.run(
        ["ruby", "-rfugit", "-e", code],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def test_gitlab_reads_every_cron_line_that_the_settings_take() -> None:
    rng = random.Random(10)  # noqa: S311 - to be repeated, not to be secret
    fields = (
        ((0, 59), ()),
        ((0, 23), ()),
        ((1, 31), ()),
        ((1, 12), ("jan", "Feb", "DEC")),
        ((0, 7), ("sun", "Fri")),
    )
    lines = [" ".join(words(rng, *span, names) for span, names in fields) for _ in range(LINES)]
    lines += ["17 3 * * *", "*/15 8-18/2 1,15 jan,Jul mon-fri", "0 0 29 2 *", "5 22-2 * * fri-mon"]
    taken = [line for line in lines if cron.fault(line) is None]
    assert LINES / 5 < len(taken) < LINES
    assert fugit(taken) == []
    refused = [line for line in lines if line not in set(taken)]
    # Nor is the rule much narrower: what it alone refuses is a step of 0, or hour 24.
    assert set(refused) == set(fugit(refused))


def test_gitlab_knows_every_time_zone_that_the_settings_take() -> None:
    known = [zone for zone in sorted(zoneinfo.available_timezones()) if not time_zones.fault(zone)]
    assert {"Etc/UTC", "UTC", "Etc/GMT+12", "Europe/Lisbon", "America/Port-au-Prince"} <= {*known}
    assert len(known) > 400
    assert fugit([f"17 3 * * * {zone}" for zone in known]) == []


@pytest.mark.parametrize(
    ("zone", "now"),
    [
        ("US/Eastern", "America/New_York"),
        ("Europe/Kiev", "Europe/Kyiv"),
        ("Asia/Calcutta", "Asia/Kolkata"),
    ],
)
def test_a_former_name_of_a_time_zone_is_refused_with_todays(zone: str, now: str) -> None:
    assert str(time_zones.fault(zone)).endswith(f"use {now}")


def test_a_machine_without_time_zones_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time_zones, "_places", dict)
    assert time_zones.fault("Europe/Lisbao") is None


# Ollama's types/model/name.go: characters and lengths of host, namespace, model and tag.
MODELS = {
    **dict.fromkeys(("llama3.2:3b", "a/b:c", "hf.co/Org/M.1:Q4_K_M", f"{'a' * 80}:{'b' * 80}"), 1),
    **dict.fromkeys(("a.b/c:d", "x/a.b/c:d", f"{'a' * 81}:b", f"a:{'b' * 81}", "a/b/c/d:e"), 0),
}


@pytest.mark.parametrize("model", MODELS)
def test_models_are_what_ollama_calls_valid(model: str) -> None:
    assert bool(re.fullmatch(specs.MODEL, model)) == bool(MODELS[model])


def test_no_image_of_the_lab_has_too_long_a_name() -> None:
    """Docker before 27 counts the registry too (distribution/reference 0.5, NameTotalLengthMax)."""
    names = [Path(one().context).name.replace("_", "-") for one in (model_server, web)]
    longest = max((*names, "deployer", "runner", "mlflow"), key=len)
    path = "a" * 63
    assert len(f"registry.{LONGEST_DOMAIN}:65535/{path}/{path}/{longest}") <= 255


@pytest.mark.parametrize("path", ["a" * 63, "a-b_c", "0a"])
@pytest.mark.parametrize("kind", [GroupPath, ProjectPath])
def test_docker_takes_images_of_every_path(kind: Any, path: str) -> None:
    """distribution/reference's regexp for what is between two slashes."""
    assert TypeAdapter(kind).validate_python(path) == path
    assert re.fullmatch(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*", path)


def unbounded(part: Any, at: str = "") -> Iterator[str]:
    """Where a schema has a text, list, map or number that can be of any size."""
    if isinstance(part, list):
        for number, inner in enumerate(part):
            yield from unbounded(inner, f"{at}/{number}")
    if not isinstance(part, dict):
        return
    kind, pattern = part.get("type"), str(part.get("pattern", ".*"))
    quantifiers = re.sub(r"\[[^]]*\]", "x", pattern)
    endless = re.search(r"(?<!\\)[*+]|\{\d+,\}", quantifiers)
    if kind == "string" and endless and not {"enum", "const", "maxLength", "format"} & part.keys():
        yield at
    if kind in ("integer", "number") and not {"minimum", "maximum"} <= part.keys():
        yield at
    if kind == "array" and "maxItems" not in part:
        yield at
    if kind == "object" and "properties" not in part and "maxProperties" not in part:
        yield at
    for key, inner in part.items():
        yield from unbounded(inner, f"{at}/{key}")


def test_everything_has_a_most() -> None:
    """What has none reaches a server at last, which refuses it in the middle of an `up`."""
    assert [*unbounded(schema())] == []
