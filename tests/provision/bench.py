"""What a second request for a database costs: `provision postgres` on what is there already.

Against the least that a Python command can cost (the interpreter with psycopg and hvac imported)
and, for the servers' own part, psql's connection; all side by side in one run. The bar is 0.5 s.

    .venv/bin/python -m tests.provision.bench [--quick]
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.harness.process import clean_environment
from tests.provision.lab import lab


def seconds(command: Callable[[], object]) -> float:
    """Wall time of one call."""
    begin = time.perf_counter()
    command()
    return time.perf_counter() - begin


def main() -> None:
    """Print progress, then one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    rounds = 10 if parser.parse_args().quick else 50
    with tempfile.TemporaryDirectory() as folder, lab(Path(folder)) as servers:
        words = servers.ask(42, "postgres", database="bench", user="bench")
        code, output = servers.run(*words)
        if code:
            sys.exit(output)
        host = servers.postgres

        def imports() -> None:
            subprocess.run(
                [sys.executable, "-c", "import hvac, psycopg"],
                env=servers.environment(),
                check=True,
            )

        def connect() -> None:
            subprocess.run(
                ["psql", "-h", host.host, "-p", str(host.port), "-U", host.user, "-qc", "select 1"],
                env=clean_environment(PGPASSWORD=host.password),
                check=True,
                capture_output=True,
            )

        def again() -> None:
            code, output = servers.run(*words)
            if code or "nothing to do" not in output:
                sys.exit(output)

        imports()
        again()
        found: dict[str, list[float]] = {"provision": [], "imports": [], "psql": []}
        for number in range(rounds):
            found["imports"].append(seconds(imports))
            found["psql"].append(seconds(connect))
            found["provision"].append(seconds(again))
            print(f"round {number + 1} of {rounds}", file=sys.stderr)
    median = {name: statistics.median(times) for name, times in found.items()}
    print(
        json.dumps(
            {
                **{f"{name}_s": round(value, 3) for name, value in median.items()},
                "provision_s_max": round(max(found["provision"]), 3),
                "to_imports": round(median["provision"] / median["imports"], 2),
                "to_psql": round(median["provision"] / median["psql"], 2),
                "bar_s": 0.5,
                "rounds": rounds,
            }
        )
    )


if __name__ == "__main__":
    main()
