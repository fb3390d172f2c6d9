"""A real lakehouse: PostgreSQL and S3 over TLS, each behind a door; and the writer's process."""

import json
import shlex
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from layers.services.lakehouse import provision
from layers.services.postgresql import LAKEHOUSE as OWNER
from layers.services.postgresql import ROLES, SECURE, login
from settings.services.lakehouse import Lakehouse as Settings
from tests.harness.certificates import Authority
from tests.harness.deploy import settings_of
from tests.harness.gate import Gate, StoreFront, gate, store_front
from tests.harness.mlflow import ROOT, programs
from tests.harness.postgresql import PostgreSql, give, postgresql
from tests.harness.postgresql_provider import create_all
from tests.harness.process import clean_environment, free_port, server
from tests.harness.s3 import S3, s3
from tests.layers.containers import world

WRITER = "apps/lake_writer"
PASSWORD = "a password with ' in it"
# As the layer's own command makes them.
COMMAND = shlex.split(provision(settings_of("dev").get(Settings)))[1:]
PLAN: Mapping[str, Any] = json.loads(COMMAND[-1])


@dataclass(frozen=True)
class Lakehouse:
    """The servers, and the document that says how to reach them."""

    folder: Path
    database: PostgreSql
    database_gate: Gate
    front: StoreFront
    document: Mapping[str, Any]

    def with_document(self, **changes: Any) -> "Lakehouse":
        """The same servers, reached with other credentials."""
        return replace(self, document={**self.document, **changes})

    def as_role(self, role: str, *catalogs: str, reads: bool = False) -> "Lakehouse":
        """The same servers, reached as one role."""
        login = {"user": role, "password": PASSWORD, "reads": reads}
        return self.with_document(catalogs=dict.fromkeys(catalogs, login))

    def environment(self, **more: str) -> dict[str, str]:
        """Variables of a process that uses it."""
        file = self.folder / "lake.json"
        file.write_text(json.dumps(self.document))
        file.chmod(0o600)
        python_path = self.folder / "programs"
        if not python_path.exists():
            python_path.mkdir()
            (python_path / "lake_writer").symlink_to(ROOT / WRITER)
            (python_path / "datalab_edge").symlink_to(ROOT / "edge/datalab_edge")
        return clean_environment(
            DATALAB_LAKE_FILE=str(file),
            PYTHONPATH=str(python_path),
            PYTHONDONTWRITEBYTECODE="1",
            HOME=str(self.folder),
            **more,
        )

    def edge(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the client with these words."""
        return self.python("-m", "datalab_edge", *words, check=check)

    def python(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run Python with the packages of the writer's image."""
        done = subprocess.run(
            [programs(WRITER) / "python", *words],
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert not check or done.returncode == 0, done.stderr + done.stdout
        return done

    def ask(self, query: str) -> list[dict[str, Any]]:
        """The rows of a query, by the edge client."""
        found: list[dict[str, Any]] = json.loads(self.edge("sql", "--json", query).stdout)
        return found


@contextmanager
def lakehouse(folder: Path, *, front: bool = True) -> Iterator[Lakehouse]:
    """Run PostgreSQL and S3 with the lab's roles and grants, bucket and the catalogs of PLAN.

    Without a front the clients ask S3 itself, over TLS.
    """
    authority = Authority()
    pair = authority.server()
    data = {name: folder / name for name in ("postgresql", "store")}
    for place in data.values():
        place.mkdir()
    certificate, key = data["postgresql"] / "tls.crt", data["postgresql"] / "tls.key"
    certificate.write_text(pair.certificate)
    key.write_text(pair.key)
    key.chmod(0o600)
    give(data["postgresql"], certificate, key)
    settings = {"ssl": "on", "ssl_cert_file": str(certificate), "ssl_key_file": str(key)}
    with (
        postgresql(data["postgresql"], **settings) as database,
        s3(data["store"], pair) as store,
        gate(database.port) as database_gate,
        store_front(int(store.url.rsplit(":", 1)[1])) as door,
    ):
        _fill(database, store)
        endpoint = f"http://127.0.0.1:{door.port}" if front else store.url
        made = Lakehouse(
            folder=folder,
            database=database,
            database_gate=database_gate,
            front=door,
            document=_document(authority.pem, store, database_gate.port, endpoint),
        )
        made.python(*COMMAND)
        yield made


def _fill(database: PostgreSql, store: S3) -> None:
    passwords = {login(role): PASSWORD for role in ROLES}
    with database.connect() as connection:
        create_all(connection, world("dev")["services"], passwords)
    subprocess.run(
        [
            *("curl", "-sSf", "--noproxy", "*", "--insecure", "-X", "PUT"),
            *("--aws-sigv4", "aws:amz:us-east-1:s3"),
            *("--user", f"{store.access_key}:{store.secret_key}", f"{store.url}/lakehouse"),
        ],
        check=True,
        env=clean_environment(),
    )


def _document(ca: str, store: S3, database: int, endpoint: str) -> dict[str, Any]:
    owner = {"user": OWNER, "password": PASSWORD}
    return {
        "postgresql": {"host": "127.0.0.1", "port": database},
        "s3": {
            "endpoint": endpoint,
            "access_key": store.access_key,
            "secret_key": store.secret_key,
        },
        "catalogs": {
            "stage": owner,
            "marts": owner,
            "secure_stage": {"user": SECURE, "password": PASSWORD},
        },
        "ca": ca,
    }


class Stream:
    """A pair of topics of its own, and who writes events to them."""

    def __init__(self, broker: str, partitions: int = 1):
        self.broker = broker
        self.name = f"t{uuid.uuid4().hex[:8]}"
        self.results, self.feedback = f"{self.name}_results", f"{self.name}_feedback"
        self.admin = AdminClient({"bootstrap.servers": broker, "log_level": 0})
        self.connect()
        self.sent: set[str] = set()
        for topic in (self.results, self.feedback):
            self.make(topic, partitions)

    @property
    def variables(self) -> dict[str, str]:
        """What a writer is told of it."""
        return {
            "KAFKA_BROKER_ENDPOINT": self.broker,
            "INFERENCE_RESULTS_TOPIC": self.results,
            "INFERENCE_RESULTS_GROUP": f"{self.results}_readers",
            "INFERENCE_FEEDBACK_TOPIC": self.feedback,
            "INFERENCE_FEEDBACK_GROUP": f"{self.feedback}_readers",
        }

    def connect(self) -> None:
        """A new producer."""
        self._producer = Producer(
            {"bootstrap.servers": self.broker, "enable.idempotence": True, "log_level": 0}
        )

    def forget(self, topic: str, before: int) -> None:
        """Have the broker delete the messages of a topic's only partition before an offset."""
        asked = self.admin.delete_records([TopicPartition(topic, 0, before)])
        for done in asked.values():
            done.result(30)

    def make(self, topic: str, partitions: int = 1) -> None:
        """Make a topic."""
        self.admin.create_topics([NewTopic(topic, partitions)])[topic].result(30)

    def event(self, **changes: Any) -> dict[str, Any]:
        """An inference, as the model server logs it."""
        return {
            "inference_uuid": f"{self.name}-{uuid.uuid4()}",
            "model": {"name": "sentiment", "version": "3"},
            "data": "what a fine day",
            "prediction": 0.25,
            "created_at": time.time_ns() // 1000,
            **changes,
        }

    def send(self, count: int, **changes: Any) -> None:
        """Send events, and a feedback for each."""
        for _ in range(count):
            event = self.event(**changes)
            key = str(event["inference_uuid"])
            self.sent.add(key)
            opinion = {"inference_uuid": key, "feedback": 1, "created_at": event["created_at"]}
            self.produce(self.results, json.dumps(event).encode(), key)
            self.produce(self.feedback, json.dumps(opinion).encode(), key)
        self.arrive()

    def produce(self, topic: str, value: bytes, key: str = "") -> None:
        """One message, whatever is in it."""
        self._producer.produce(topic, value, key.encode())
        self._producer.poll(0)

    def arrive(self) -> None:
        """Until the broker has everything."""
        left = self._producer.flush(120)
        assert left == 0, f"Kafka has not taken {left} messages"

    def missing(self, lake: Lakehouse) -> dict[str, int]:
        """What a look into the lake finds wrong with the ids that were sent: nothing, or counts."""
        wrong: dict[str, int] = {}
        for table in ("inference_events", "inference_feedback"):
            rows = lake.ask(
                f"SELECT inference_uuid AS id, count(*) AS n FROM secure_stage.main.{table} "
                f"WHERE starts_with(inference_uuid, '{self.name}-') GROUP BY 1"
            )
            found = {row["id"]: row["n"] for row in rows}
            faults = {
                "lost": len(self.sent - found.keys()),
                "unknown": len(found.keys() - self.sent),
                "doubled": sum(n > 1 for n in found.values()),
            }
            wrong |= {f"{table} {what}": count for what, count in faults.items() if count}
        return wrong


@dataclass
class Writer:
    """A running lake writer."""

    url: str
    process: subprocess.Popen[bytes]

    def health(self) -> dict[str, Any]:
        """What it says of itself."""
        found: dict[str, Any] = httpx.get(f"{self.url}/health", timeout=30).json()
        return found

    def flush(self, seconds: float = 60) -> httpx.Response:
        """Ask for everything to be in the lake."""
        return httpx.post(f"{self.url}/flush?timeout={seconds:g}", timeout=seconds + 30)

    def memory_mib(self) -> int:
        """The most that it has used so far."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) // 1024


@contextmanager
def writer(lake: Lakehouse, stream: Stream, **variables: str) -> Iterator[Writer]:
    """Run a lake writer until the block ends."""
    port = free_port()
    environment = lake.environment(**{**stream.variables, "PORT": str(port), **variables})
    url, log = f"http://127.0.0.1:{port}", lake.folder / f"writer-{stream.name}.log"

    def ready() -> bool:
        try:
            return httpx.get(f"{url}/health").status_code == 200
        except httpx.TransportError:
            return False

    command: list[str | Path] = [programs(WRITER) / "python", "-m", "lake_writer"]
    with server(command, ready, log, env=environment, cwd=lake.folder) as process:
        yield Writer(url, process)
