"""One grammar: what the settings accept is what `provision` takes, and what GitLab lets through."""

import re

import pytest
from pydantic import TypeAdapter, ValidationError

from provision import specs
from provision.faults import Invalid
from settings.services.kafka import Topic, TopicName
from settings.services.ollama import ModelName
from tests.harness.inputs import declared
from tests.harness.pipelines import ROOT

# Of each, the shortest and longest, and what an editor of settings may write.
TOPICS = {
    **dict.fromkeys(("a", "_inference_results", "A.b-c_d", "a" * 249, "_" + "a" * 248), True),
    **dict.fromkeys(("", ".", "..", "_", "__consumer_offsets", "-a", ".a", "a b", "ä"), False),
    **dict.fromkeys(("a" * 250, "_" + "a" * 249, "_-a", "a;b", "a\n"), False),
}
FILES = (".ci/provision/kafka.yml", ".ci/kafka.yml", ".gitlab-ci.yml")


@pytest.mark.parametrize("name", TOPICS)
def test_a_topics_name_is_taken_by_all_or_none(name: str) -> None:
    given = {"topic": name, "group": name}
    assert takes(lambda: TypeAdapter(TopicName).validate_python(name)) == TOPICS[name]
    assert takes(lambda: Topic(group=name)) == TOPICS[name]
    assert takes(lambda: specs.parse(specs.Kafka, given)) == TOPICS[name]
    for file in FILES:
        for field in given:
            # Empty is what a pipeline of the lab has where nobody asks. Ruby's $ is a line's end.
            wanted = TOPICS[name] or (name == "" and file != FILES[0])
            pattern = declared(ROOT / file)[field]["regex"]
            assert bool(re.fullmatch(pattern, name)) == wanted, (file, field)


@pytest.mark.parametrize("name", ["llama3.2:3b", "hf.co/Org/M:Q4_K_M", "a", "a/b/c/d:e", "../a:b"])
def test_a_model_of_the_settings_is_one_that_provision_takes(name: str) -> None:
    taken = takes(lambda: TypeAdapter(ModelName).validate_python(name))
    known = takes(lambda: specs.parse(specs.Ollama, {"model": name}))
    assert taken == (known and ":" in name)


@pytest.mark.parametrize("field", ["partitions", "retention_hours"])
@pytest.mark.parametrize("number", [-2, -1, 0, 1, 1000, 1001, 87_600, 87_601])
def test_numbers_have_the_same_bounds(field: str, number: int) -> None:
    topic = {"group": "g", field: number}
    assert takes(lambda: Topic.model_validate(topic)) == takes(
        lambda: specs.parse(specs.Kafka, {"topic": "t", **topic})
    )
    default = declared(ROOT / ".ci/provision/kafka.yml")[field]["default"]
    assert default == getattr(Topic(group="g"), field) == getattr(specs.Kafka, field)
    assert default == declared(ROOT / ".gitlab-ci.yml")[field]["default"]


def takes(make: object) -> bool:
    """Whether `make` accepts what it is given."""
    assert callable(make)
    try:
        make()
    except (Invalid, ValidationError):
        return False
    return True
