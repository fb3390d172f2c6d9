"""`provision kafka` against a real broker."""

from collections.abc import Mapping

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from provision import kafka
from provision.faults import Refused
from provision.specs import Kafka
from provision.vault import Record, Vault
from tests.harness.process import clean_environment
from tests.provision.lab import ROOT, Lab

pytestmark = pytest.mark.service

OTHER = 43


def plain(servers: Lab, broker: str, topic: str, group: str, *more: str) -> tuple[int, str]:
    """The lab's own one-shot: no Vault, no GitLab."""
    words = ("kafka", "--bootstrap", broker, f"--topic={topic}", f"--group={group}", *more)
    return servers.run(*words, env=clean_environment(PYTHONPATH=str(ROOT)))


def offsets(broker: str, group: str, topic: str, partitions: int) -> list[int]:
    consumer = Consumer({"bootstrap.servers": broker, "group.id": group})
    places = [TopicPartition(topic, number) for number in range(partitions)]
    found = [place.offset for place in consumer.committed(places, timeout=10)]
    consumer.close()
    return found


def consume(broker: str, topic: str, group: str, count: int) -> list[bytes]:
    consumer = Consumer(
        {
            "bootstrap.servers": broker,
            "group.id": group,
            # Only the group's own offsets may decide where it starts.
            "auto.offset.reset": "error",
        }
    )
    consumer.subscribe([topic])
    found: list[bytes] = []
    for _ in range(60):
        message = consumer.poll(1)
        if message is not None and message.error() is None:
            found.append(message.value() or b"")
        if len(found) == count:
            break
    consumer.close()
    return found


def produce(broker: str, topic: str, *values: bytes) -> None:
    producer = Producer({"bootstrap.servers": broker})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(10) == 0


def test_a_message_from_before_the_first_consumer_is_read(servers: Lab, broker: str) -> None:
    code, output = plain(servers, broker, "early", "early-readers", "--partitions", "2")
    assert code == 0, output
    assert offsets(broker, "early-readers", "early", 2) == [0, 0]
    produce(broker, "early", b"one", b"two")
    assert sorted(consume(broker, "early", "early-readers", 2)) == [b"one", b"two"]


def test_every_partition_is_begun_though_the_topic_is_not_known_at_once(
    broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CI: a group that began in the first partition only missed a message in another."""
    ask, asked = kafka._partitions, list[str]()

    def late(admin: AdminClient, topic: str) -> int | None:
        asked.append(topic)
        return None if len(asked) == 1 else ask(admin, topic)

    monkeypatch.setattr(kafka, "_partitions", late)
    kafka.ensure(Kafka(topic="late", group="late-readers", partitions=3), broker)
    assert offsets(broker, "late-readers", "late", 3) == [0, 0, 0]


def test_again_changes_nothing_and_moves_no_offset(servers: Lab, broker: str) -> None:
    assert plain(servers, broker, "again", "again-readers")[0] == 0
    produce(broker, "again", b"one")
    assert consume(broker, "again", "again-readers", 1) == [b"one"]
    before = offsets(broker, "again-readers", "again", 1)
    assert before == [1]
    code, output = plain(servers, broker, "again", "again-readers")
    assert (code, output) == (0, "kafka again: ready, nothing to do\n")
    assert offsets(broker, "again-readers", "again", 1) == before


def test_messages_may_be_kept_for_ever(servers: Lab, broker: str) -> None:
    code, output = plain(servers, broker, "kept", "kept", "--retention-hours", "-1")
    assert (code, "created topic kept" in output) == (0, True), output
    # It is what it was made as; any other retention differs.
    assert "differs" not in plain(servers, broker, "kept", "kept", "--retention-hours", "-1")[1]
    assert "retention.ms -1, not 604800000" in plain(servers, broker, "kept", "kept")[1]
    assert plain(servers, broker, "none", "none", "--retention-hours", "0")[0] != 0


def test_other_settings_are_told_and_left(servers: Lab, broker: str) -> None:
    assert plain(servers, broker, "differs", "differs", "--partitions", "2")[0] == 0
    more = ("--partitions", "4", "--retention-hours", "1")
    for _ in range(2):
        code, output = plain(servers, broker, "differs", "differs", *more)
        assert code == 0
        assert "differs: topic differs has partitions 2, not 4; left as it is" in output
        assert "retention.ms 604800000, not 3600000" in output


def test_a_topic_goes_with_its_data_only_where_that_was_confirmed(
    servers: Lab, broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert plain(servers, broker, "leaving", "leaver")[0] == 0
    code, output = plain(servers, broker, "leaving", "leaver", "--absent")
    assert (code, "its messages stay until" in output) == (0, True), output
    assert "nothing to do" in plain(servers, broker, "leaving", "leaver")[1]
    monkeypatch.setenv("DATALAB_DELETE_DATA", "yes")
    code, output = plain(servers, broker, "leaving", "leaver", "--absent")
    assert (code, output) == (0, "deleted topic leaving\ndeleted group leaver\n")
    assert plain(servers, broker, "leaving", "leaver", "--absent") == (0, "")


def test_a_live_group_keeps_its_offsets(servers: Lab, broker: str) -> None:
    assert plain(servers, broker, "lively", "somebody")[0] == 0
    consumer = Consumer(
        {"bootstrap.servers": broker, "group.id": "live", "enable.auto.commit": False}
    )
    consumer.subscribe(["lively"])
    for _ in range(20):
        consumer.poll(0.5)
        if consumer.assignment():
            break
    code, output = plain(servers, broker, "lively", "live")
    consumer.close()
    assert code == 0, output
    assert "group live is in use; its offsets were left alone" in output


def test_a_project_gets_its_topic_and_nobody_elses(servers: Lab, broker: str) -> None:
    words = servers.ask(42, "kafka", topic="events", group="readers", partitions="3")
    for expected in ("created topic events", "nothing to do"):
        code, output = servers.run(*words)
        assert (code, expected in output) == (0, True), output
    found = servers.read("projects/42/kafka/events")
    assert found == {
        "KAFKA_BOOTSTRAP_SERVERS": broker,
        "KAFKA_TOPIC": "events",
        "KAFKA_GROUP": "readers",
        "version": 1,
    }
    for topic, group, name in (
        ("events", "mine", "topics/events"),
        ("free", "readers", "groups/readers"),
    ):
        code, output = servers.run(*servers.ask(OTHER, "kafka", topic=topic, group=group))
        assert (code, f"{name} belongs to project 42; take" in output) == (3, True), output
    assert "free" not in AdminClient({"bootstrap.servers": broker}).list_topics().topics


def test_who_loses_the_group_gives_the_topic_back(
    servers: Lab, broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Raced(Vault):
        """Somebody is faster, once it was seen that both names are free."""

        def create(self, path: str, record: Mapping[str, str]) -> Record:
            if "/groups/" in path:
                servers.write(path, {"project": str(OTHER)})
            return super().create(path, record)

    for name, value in servers.environment().items():
        monkeypatch.setenv(name, value)
    with pytest.raises(Refused, match="groups/raced-readers was just taken"):
        kafka.provision(Kafka(topic="raced", group="raced-readers"), "42", Raced("provisioner"))
    words = servers.ask(OTHER, "kafka", topic="raced", group="raced-readers")
    code, output = servers.run(*words)
    assert code == 0, output


def test_a_name_that_the_operator_gave_back_is_free(servers: Lab, broker: str) -> None:
    """By the steps of docs/ci.md."""
    assert servers.run(*servers.ask(42, "kafka", topic="given", group="given"))[0] == 0
    words = servers.ask(OTHER, "kafka", topic="given", group="given")
    assert servers.run(*words)[0] == 3
    admin = AdminClient({"bootstrap.servers": broker})
    admin.delete_topics(["given"])["given"].result()
    admin.delete_consumer_groups(["given"])["given"].result()
    for name in ("topics/given", "groups/given"):
        servers.bao.client().secrets.kv.v2.delete_metadata_and_all_versions(
            f"infra/provision/claims/kafka/{name}", mount_point="kv"
        )
    code, output = servers.run(*words)
    assert code == 0, output


def test_the_labs_own_topics_and_groups_are_not_for_projects(servers: Lab, broker: str) -> None:
    assert plain(servers, broker, "ml_inference_results", "lakehouse-consumer")[0] == 0
    for topic, group in (("ml_inference_results", "g"), ("own", "lakehouse-consumer")):
        code, output = servers.run(*servers.ask(42, "kafka", topic=topic, group=group))
        assert (code, "is the lab's own; take another name" in output) == (3, True), output


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "__consumer_offsets", "-a", ".a", "a b", "a'b", 'a"b', "ä", "a;b", "a" * 250],
)
def test_hostile_names_are_refused_before_anything_is_touched(
    servers: Lab, broker: str, name: str
) -> None:
    code, output = plain(servers, broker, name, "fine")
    assert (code, "kafka.topic:" in output) == (2, True), output
    code, output = servers.run(*servers.ask(42, "kafka", topic="fine", group=name))
    assert (code, "kafka.group:" in output) == (2, True), output


def test_every_fault_of_a_request_is_told_at_once(servers: Lab, broker: str) -> None:
    more = ("--partitions", "0", "--retention-hours", "many")
    code, output = plain(servers, broker, "a b", "a;b", *more)
    assert code == 2
    for field in ("topic", "group", "partitions", "retention_hours"):
        assert f"provision: kafka.{field}: " in output


def test_fifty_identical_requests_at_once(servers: Lab, broker: str) -> None:
    words = servers.ask(42, "kafka", topic="fifty", group="fifty", partitions="2")
    processes = [servers.start(*words) for _ in range(50)]
    results = [servers.finish(process) for process in processes]
    assert [code for code, _ in results] == [0] * 50, results
    assert sum("created topic fifty" in output for _, output in results) == 1
    assert offsets(broker, "fifty", "fifty", 2) == [0, 0]


def test_a_kill_at_any_step_is_repaired_by_the_next_run(servers: Lab, broker: str) -> None:
    names = []
    for name in servers.kill_everywhere("kafka", lambda name: {"topic": name, "group": name}):
        names.append(name)
        assert servers.read(f"projects/42/kafka/{name}")["KAFKA_TOPIC"] == name
        assert offsets(broker, name, name, 1) == [0]
    assert len(names) > 10, "fewer steps than the work has: the killer counts nothing"


def test_a_broker_that_is_down_is_one_line(servers: Lab) -> None:
    code, output = plain(servers, "127.0.0.1:9", "topic", "group")
    assert code == 1
    assert "Kafka at 127.0.0.1:9 failed" in output
    assert "Traceback" not in output
