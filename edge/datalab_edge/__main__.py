"""The command `datalab-edge`."""

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path

import duckdb

from datalab_edge import monitor, programs, status
from datalab_edge.credentials import FILE, TEXT, CredentialsError, Lake, dump, load
from datalab_edge.lake import connect
from datalab_edge.output import write_csv, write_json

CALLED = "DATALAB_EDGE_CALLED"  # the command that a person typed, for its help
CREDENTIALS = f"The credentials' file; otherwise {FILE} names it or {TEXT} holds its text"


def main(words: Sequence[str] | None = None) -> int:
    """Run the command; 1 with a message where it cannot be done."""
    given = _parser().parse_args(words)
    try:
        lake = load(file=given.credentials)
        code: int = given.run(lake, given)
    except (CredentialsError, status.WriterError, programs.MissingError) as error:
        print(error, file=sys.stderr)
    except duckdb.Error as error:
        print(str(error).strip(), file=sys.stderr)
    except BrokenPipeError:
        # Anyone who read the rows has enough; Python would complain once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    else:
        return code
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=os.environ.get(CALLED, "datalab-edge"), description="The lab's lakehouse."
    )
    parser.add_argument("--credentials", type=Path, metavar="FILE", help=CREDENTIALS)
    verbs = parser.add_subparsers(metavar="COMMAND", required=True)
    shell = verbs.add_parser("shell", help="DuckDB's own shell, with every catalog attached")
    shell.set_defaults(run=_shell)
    sql = verbs.add_parser("sql", help="answer one query")
    sql.add_argument("query", help="SQL, or - to read it from standard input")
    form = sql.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="rows as a JSON list")
    form.add_argument("--csv", action="store_true", help="rows as CSV")
    sql.add_argument("--rows", type=int, default=100, help="rows of a table that are shown (100)")
    sql.set_defaults(run=_sql)
    verbs.add_parser("status", help="catalogs, tables, rows, files; the writer's lag").set_defaults(
        run=_status
    )
    verbs.add_parser("maintain", help="merge small files and delete unused ones").set_defaults(
        run=_maintain
    )
    watch = verbs.add_parser("monitor", help=f"numbers about models, into {monitor.SCHEMA}.stats")
    watch.add_argument(
        "--days",
        type=_positive,
        default=monitor.DAYS,
        help=f"the newest days with answers are computed again ({monitor.DAYS})",
    )
    watch.add_argument(
        "--reference",
        type=_positive,
        default=monitor.REFERENCE,
        help="of a version's first answers so many are what later ones are compared with "
        f"({monitor.REFERENCE})",
    )
    watch.add_argument("--json", action="store_true", help="the numbers as a JSON list")
    watch.set_defaults(run=_monitor)
    notebook = verbs.add_parser("notebook", help="a marimo notebook, where the lake is attached")
    notebook.add_argument("file", type=Path, nargs="?", default=Path("lake.py"))
    notebook.set_defaults(run=_notebook)
    verbs.add_parser(
        "credentials", help="print the credentials, for a file that only you can read"
    ).set_defaults(run=_credentials)
    return parser


def _shell(lake: Lake, _: argparse.Namespace) -> int:
    return programs.shell(lake)


def _sql(lake: Lake, given: argparse.Namespace) -> int:
    query = sys.stdin.read() if given.query == "-" else given.query
    with connect(lake) as connection:
        if not (given.json or given.csv):
            found = connection.sql(query)
            if found is not None:
                width = shutil.get_terminal_size((120, 40)).columns
                found.show(max_rows=given.rows, max_width=width)
            return 0
        result = connection.execute(query)
        columns = [column[0] for column in result.description or ()]
        rows = iter(result.fetchone, None)
        write = write_json if given.json else write_csv
        write(columns, rows, sys.stdout)
    return 0


def _status(lake: Lake, _: argparse.Namespace) -> int:
    with connect(lake) as connection:
        print(status.status(connection, lake))
    return 0


def _maintain(lake: Lake, _: argparse.Namespace) -> int:
    print(status.maintain(lake))
    return 0


def _monitor(lake: Lake, given: argparse.Namespace) -> int:
    with connect(lake) as connection:
        found = monitor.monitor(connection, given.days, given.reference)
    if given.json:
        write_json(monitor.NAMES, map(astuple, found), sys.stdout)
    else:
        print(monitor.page(found))
    return 0


def _positive(text: str) -> int:
    if not text.isdecimal() or (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return number


def _notebook(lake: Lake, given: argparse.Namespace) -> int:
    return programs.notebook(lake, given.file)


def _credentials(lake: Lake, _: argparse.Namespace) -> int:
    print(dump(lake))
    return 0


if __name__ == "__main__":
    sys.exit(main())
