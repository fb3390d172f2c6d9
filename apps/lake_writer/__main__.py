"""The process: `python -m lake_writer`."""

import logging
import os
import signal
import sys
import tempfile
import threading
from pathlib import Path

import duckdb
from datalab_edge.credentials import CredentialsError, Lake
from datalab_edge.credentials import load as credentials
from datalab_edge.lake import connect

from .committer import Committer
from .reader import Reader
from .server import Answers, serve
from .settings import Settings, SettingsError, load
from .state import State
from .topics import Topics

LOG = logging.getLogger("lake_writer")
RETRY_S = 5.0
SPILL_MIB = 1024


def main() -> int:
    """Run until a signal says stop; 1 where a thread failed, for the container to start again."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        settings, lake = load(os.environ), credentials()
        if settings.lake_catalog not in lake.catalogs:
            raise CredentialsError(f"LAKE_CATALOG: no credentials for {settings.lake_catalog}")
    except (SettingsError, CredentialsError) as error:
        print(f"lake writer: its environment has faults:\n{error}", file=sys.stderr)
        return 1
    state = State()

    def stop(*_: object) -> None:
        state.stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    return _run(settings, lake, state)


def _run(settings: Settings, lake: Lake, state: State) -> int:
    topics = Topics(settings.kafka_broker_endpoint, settings.groups)
    server = serve(Answers(state, topics), settings.port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    connection = _connect(settings, lake, state)
    if connection is None:
        return 0
    committer = Committer(settings, topics, connection.cursor(), state)
    committer.prepare()
    reader = Reader(settings, topics, connection.cursor(), state)
    thread = threading.Thread(target=_guarded, args=(reader, state), daemon=True)
    thread.start()
    while thread.is_alive() or state.sealed:
        committer.step()
    topics.close()
    return 1 if "failure" in state.problems else 0


def _connect(settings: Settings, lake: Lake, state: State) -> duckdb.DuckDBPyConnection | None:
    """A connection, as soon as the lake can be reached; None where it ends before that."""
    while not state.stopping:
        try:
            connection = connect(
                lake,
                [settings.lake_catalog],
                name="lake-writer",
                memory_limit=f"{settings.duckdb_memory_mib}MiB",
                threads=settings.duckdb_threads,
                temp_directory=str(Path(tempfile.gettempdir(), "lake-writer-spill")),
                max_temp_directory_size=f"{SPILL_MIB}MiB",
                preserve_insertion_order=False,
            )
        except duckdb.Error as error:
            state.wait("lake", str(error), RETRY_S)
        else:
            state.goes_on("lake")
            return connection
    return None


def _guarded(reader: Reader, state: State) -> None:
    try:
        reader.run()
    except BaseException:
        LOG.exception("reading failed")
        with state.changed:
            state.problems["failure"] = "reading failed"
            state.stopping = True
            state.changed.notify_all()


if __name__ == "__main__":
    sys.exit(main())
