"""`./lab rehearse --set KEY=VALUE`: what the words mean, and what is said of wrong ones."""

import pytest

from cli.lib.fault import Fault
from rehearsal.edits import Edit, edited
from rehearsal.result import Change
from settings import SettingsError, load
from tests.harness.deploy import stack_config

FILE = "Pulumi.dev.yaml"


def edit(*texts: str) -> list[Edit]:
    return [Edit.parse(text, FILE) for text in texts]


def test_values_are_read_as_in_the_file_and_the_rest_stays() -> None:
    config = stack_config("dev")
    before = stack_config("dev")
    changes = edit(
        "services.kafka.container.memory_mib=1088",
        "datalab:common.domain=casa.home.arpa",
        "services.kafka.topics.events={group: readers}",
        "apps.model_server.any_model=true",
    )
    settings = load(edited(config, changes), FILE)
    assert settings.services.kafka.container.memory_mib == 1088
    assert settings.common.domain == "casa.home.arpa"
    assert settings.services.kafka.topics["events"].group == "readers"
    assert len(settings.services.kafka.topics) > 1, "the others are still there"
    assert settings.apps.model_server.any_model
    assert config == before


def test_null_takes_away_what_a_map_has_by_default() -> None:
    before = load(stack_config("dev"), FILE).foundation.cache.upstreams
    config = edited(stack_config("dev"), edit("foundation.cache.upstreams.alpine=null"))
    now = load(config, FILE).foundation.cache.upstreams
    assert set(before) - set(now) == {"alpine"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("services.kafka.heap_mbi=400", "datalab:services.kafka.heap_mbi: unknown setting; did "),
        ("services.kafka.heap_mib=much", 'datalab:services.kafka.heap_mib: "much" is not a whole'),
        ("servces.kafka.heap_mib=400", "datalab:servces: unknown setting; did you mean services?"),
        ("common.domain.name=x", "datalab:common.domain: a map is not text"),
        ("common=3", "datalab:common: 3 is not a map of keys"),
    ],
)
def test_a_wrong_setting_is_named_with_its_file(text: str, said: str) -> None:
    with pytest.raises(SettingsError) as fault:
        load(edited(stack_config("dev"), edit(text)), FILE)
    assert str(fault.value).startswith(f"{FILE}: {said}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("common.domain", f"--set takes KEY=VALUE with a key of {FILE}, such as "),
        ("=x", "--set takes KEY=VALUE"),
        ("common..domain=x", "--set takes KEY=VALUE"),
        ("common.domain={x", f"{FILE}: datalab:common.domain: line 1: "),
        ("common.domain=2030-01-01", f"{FILE}: datalab:common.domain: line 1: Pulumi would make"),
        ("proxmoxApiToken=x", f"{FILE}: datalab:proxmoxApiToken: --set takes no secret"),
    ],
)
def test_wrong_words_are_one_line(text: str, said: str) -> None:
    with pytest.raises(Fault) as fault:
        Edit.parse(text, FILE)
    assert str(fault.value).startswith(said)
    assert (fault.value.code, str(fault.value).count("\n")) == (2, 0)


def test_a_change_says_what_it_is() -> None:
    edits = edit("common.domain=a.arpa", "platform.gitlab.enabled=false")
    words = "with common.domain=a.arpa, platform.gitlab.enabled=false"
    assert Change(edits=edits).words == words
    change = Change(commit="0123456789abcdef", edits=edits)
    assert change.words == f"from 012345678 to this checkout {words}"
    assert (change.before, Change(edits=edits).before) == ("012345678", "the settings as they are")
