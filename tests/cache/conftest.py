"""Origins and caches of one test."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from cli.commands.cache import figures, forget
from settings import load_file
from tests.cache.origin import Origin
from tests.cache.origin import origin as make_origin
from tests.cache.running import Running, running, settings
from tests.harness.patched import sample_file

Start = Callable[..., Running]


@pytest.fixture
def origin() -> Iterator[Origin]:
    """An empty origin."""
    with make_origin() as made:
        yield made


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a cache of the given upstreams: `start(ubuntu={"kind": "apt", "url": ...})`."""
    with ExitStack() as stack:

        def begin(**upstreams: dict[str, Any]) -> Running:
            return stack.enter_context(running(settings(**upstreams), tmp_path))

        yield begin


@pytest.fixture
def cache(start: Start, origin: Origin) -> Running:
    """A cache with one upstream of each simple kind, all of them `origin`."""
    return start(
        ubuntu={"kind": "apt", "url": f"{origin.url}/ubuntu"},
        alpine={"kind": "apk", "url": f"{origin.url}/alpine"},
        plugins={"kind": "pulumi", "url": f"{origin.url}/plugins"},
        images={"kind": "files", "url": f"{origin.url}/images"},
    )


@pytest.fixture
def known(cache: Running, monkeypatch: pytest.MonkeyPatch) -> Running:
    """A cache that `./lab cache` finds."""
    whole = load_file(sample_file("dev"))
    own = cache.cache.model_copy(update={"port": cache.site.port})
    foundation = whole.foundation.model_copy(update={"cache": own})
    made = whole.model_copy(update={"foundation": foundation})
    for module in (figures, forget):
        monkeypatch.setattr(module, "settings_of", lambda env: made)
    return cache
