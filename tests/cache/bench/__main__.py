"""The package cache against apt-cacher-ng (Debian's settings) and raw nginx, in one run.

    .venv/bin/python -m tests.cache.bench [--quick]

The servers have one worker on the first core, the clients run on the last one, all on loopback
and in turn. Figures are medians with their quartiles; ratios are against raw nginx, which serves
the origin's own files and writes a log like the cache's. The last line is one JSON object of all
figures, with the bars of issue 5 and whether they were met.
"""

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from layers.foundation.cache_files import SLICE_KIB
from tests.cache.apt import Apt, Repository
from tests.cache.bench.servers import CLIENT_CPU, KIB, MIB, SIZES, TOOLS, Server, spread, start
from tests.cache.origin import Fault, Origin
from tests.cache.origin import origin as slow_origin
from tests.cache.running import Running, get, running, settings


def apt(servers: dict[str, Server], folder: Path, repeats: int, packages: int) -> dict[str, Any]:
    """W1: `apt-get install --download-only` through each server, cold once, then warm."""
    repository = Repository(folder / "repository", "/repo")
    # As in an archive: many small packages, some of a megabyte, few large ones.
    sizes = [
        2 * MIB if n % 25 == 0 else 600 * KIB if n % 5 == 0 else 24 * KIB for n in range(packages)
    ]
    made = [repository.package(f"pkg{n}", "1.0", size) for n, size in enumerate(sizes)]
    for path, content in repository.publish(made).items():
        file = folder / "www" / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    names = [f"pkg{n}" for n in range(packages)]
    clients = {
        name: Apt(folder / f"apt-{name}", one.url, repository.keyring)
        for name, one in servers.items()
    }

    def seconds(name: str) -> float:
        begun = time.monotonic()
        done = clients[name].download(names)
        took = time.monotonic() - begun
        if done.returncode != 0 or len(clients[name].archives()) != packages:
            sys.exit(f"bench: apt through {name}: {done.stdout}{done.stderr}")
        return took

    for name, client in clients.items():
        updated = client.run("update")
        if updated.returncode != 0:
            sys.exit(f"bench: apt-get update through {name}: {updated.stderr}")
    cold = {name: seconds(name) for name in servers}
    warm: dict[str, list[float]] = {name: [] for name in servers}
    for _ in range(repeats):
        for name in servers:
            warm[name].append(seconds(name))
    return {
        "packages": packages,
        "cold_s": {name: round(value, 3) for name, value in cold.items()},
        "warm_s": {name: spread(values) for name, values in warm.items()},
        "ratio": {
            name: spread([a / b for a, b in zip(warm["cache"], warm[name], strict=True)])
            for name in ("raw", "acng")
        },
    }


def hits(
    servers: dict[str, Server], folder: Path, sizes: dict[str, int], repeats: int, seconds: int
) -> dict[str, dict[str, Any]]:
    """W2: stored files by wrk on keep-alive connections: rate, CPU and memory of the server."""
    for name, size in sizes.items():
        (folder / "www/repo" / f"{name}.deb").write_bytes(os.urandom(size))
        for one in servers.values():
            for _ in range(2):
                answer = get(f"{one.url}/{name}.deb")
                if not answer.whole or len(answer.body) != size:
                    sys.exit(f"bench: {one.url}/{name}.deb is not whole")
    found: dict[str, dict[str, Any]] = {}
    for name, size in sizes.items():
        rate: dict[str, list[float]] = {key: [] for key in servers}
        cpu: dict[str, list[float]] = {key: [] for key in servers}
        for _ in range(repeats):
            for key, one in servers.items():
                connections = "4" if size > MIB else "16"
                before = one.cpu_s()
                done = subprocess.run(
                    ["taskset", "-c", CLIENT_CPU, "wrk", "-t1", f"-c{connections}",
                     f"-d{seconds}s", f"{one.url}/{name}.deb"],
                    capture_output=True, text=True, check=True,
                )  # fmt: skip
                read = re.search(r"requests in ([\d.]+)s, ([\d.]+)([KMG])B read", done.stdout)
                if read is None or "Non-2xx" in done.stdout:
                    sys.exit(f"bench: wrk said {done.stdout}")
                # By bytes: a large file may not be complete when the time is over.
                files = float(read[2]) * {"K": KIB, "M": MIB, "G": KIB * MIB}[read[3]] / size
                rate[key].append(files / float(read[1]))
                cpu[key].append((one.cpu_s() - before) / files * 1e6)
        found[name] = {
            "per_s": {key: spread(values) for key, values in rate.items()},
            "cpu_us": {key: spread(values) for key, values in cpu.items()},
            # Of each round its own: what else the machine did then weighs on both alike.
            "ratio": {
                key: spread([a / b for a, b in zip(values, rate["raw"], strict=True)])
                for key, values in rate.items()
            },
        }
    found["rss_mib"] = {key: round(one.rss_mib(), 1) for key, one in servers.items()}
    return found


def misses(folder: Path, size: int) -> dict[str, Any]:
    """W3: 32 clients want the same absent file of an origin that sends 8 MiB/s; W4: it dies."""
    path, rate = "/repo/large.deb", 8 * MIB
    with slow_origin() as origin:
        origin.files[path] = os.urandom(size)
        origin.faults[path] = Fault(rate=rate)
        with running(settings(repo={"kind": "apt", "url": f"{origin.url}/repo"}), folder) as cache:
            figures = _clients(cache, origin, path)
            seconds = [figures["first_byte_s"]["second"]]
            for number in range(4):
                other = f"/repo/large-{number}.deb"
                origin.files[other] = os.urandom(8 * MIB)
                origin.faults[other] = Fault(rate=rate)
                seconds.append(_clients(cache, origin, other)["first_byte_s"]["second"])
            figures["second_first_byte_s"] = spread(seconds)
            alive = {path, *_fill(cache, origin)}
            origin.stop()
            served = [cache.get(one).status == 200 for one in sorted(alive)]
    figures["served_without_origin"] = sum(served) / len(served)
    figures["slice_s"] = round(SLICE_KIB * KIB / rate, 3)
    return figures


def _clients(cache: Running, origin: Origin, path: str) -> dict[str, Any]:
    """32 curls at once; processes of their own, as threads here would slow the origin down."""
    size = len(origin.files[path])
    command = ["curl", "-s", "--noproxy", "*", "-o", "/dev/null", "-w",
               "%{time_starttransfer} %{size_download}", f"{cache.url}{path}"]  # fmt: skip
    begun = time.monotonic()
    clients = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(32)]
    said = [client.communicate()[0].split() for client in clients]
    ordered = sorted(float(first) for first, _ in said)
    return {
        "clients": len(clients),
        "whole": sum(int(got) == size for _, got in said),
        "fetched_ratio": origin.sent(path) / size,
        "first_byte_s": {"first": ordered[0], "second": ordered[1], "last": ordered[-1]},
        "all_s": round(time.monotonic() - begun, 3),
    }


def _fill(cache: Running, origin: Origin) -> list[str]:
    paths = [f"/repo/pool/{number}.deb" for number in range(40)]
    paths += ["/repo/dists/stable/InRelease", "/repo/dists/stable/main/binary-amd64/Packages"]
    for path in paths:
        origin.files[path] = os.urandom(50 * KIB)
        cache.get(path)
    return paths


def changes(folder: Path) -> dict[str, Any]:
    """W5: how long after a change at the origin the old InRelease still comes."""
    path = "/repo/dists/stable/InRelease"
    waits = []
    with ExitStack() as stack:
        origin = stack.enter_context(slow_origin())
        upstream = {"kind": "apt", "url": f"{origin.url}/repo"}
        cache = stack.enter_context(running(settings(repo=upstream), folder))
        for number in range(10):
            origin.files[path] = f"release {number}".encode()
            begun = time.monotonic()
            while cache.get(path).body != origin.files[path]:
                pass
            waits.append(time.monotonic() - begun)
    return {"stale_s": spread(waits)}


def overflow(folder: Path, megabytes: int) -> dict[str, Any]:
    """W6: three times more than the cache may hold: the most that was on disk, and errors."""
    limit = megabytes // 3
    edits = {"max_size=10g min_free=1g": f"max_size={limit}m"}
    errors, peak = 0, 0
    with slow_origin() as origin:
        cache_settings = settings(repo={"kind": "apt", "url": f"{origin.url}/repo"})
        with running(cache_settings, folder, edits=edits) as cache:
            for number in range(megabytes):
                path = f"/repo/pool/{number}.deb"
                origin.files[path] = os.urandom(MIB)
                errors += cache.get(path).status >= 500
                del origin.files[path]
                peak = max(peak, sum(file.stat().st_size for file in cache.stored()))
            end = time.monotonic() + 15
            while (stored := sum(f.stat().st_size for f in cache.stored())) > limit * MIB:
                if time.monotonic() > end:
                    break
                time.sleep(0.5)
    return {
        "limit_mib": limit,
        "peak_mib": round(peak / MIB, 1),
        "settled_mib": round(stored / MIB, 1),
        "errors": errors,
    }


def bars(figures: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Each bar of the issue: what was found, what is wanted, whether it is met."""
    # Of each round its own, as for hits: the load of a shared machine drifts within a run.
    warm = {name: value["median"] for name, value in figures["apt"]["ratio"].items()}
    hit, miss = figures["hits"], figures["misses"]
    large, small = (hit[size]["ratio"]["cache"]["median"] for size in ("64m", "20k"))
    cpu = hit["20k"]["cpu_us"]
    second = miss["second_first_byte_s"]["median"]
    found: list[tuple[str, float, Callable[[float], bool], str]] = [
        ("apt warm / apt-cacher-ng", warm["acng"], lambda v: v <= 1, "<= 1"),
        ("apt warm / raw nginx", warm["raw"], lambda v: v <= 1.15, "<= 1.15"),
        ("hits 64 MiB / raw", large, lambda v: v >= 0.95, ">= 0.95"),
        ("hits 20 KiB / raw", small, lambda v: v >= 0.6, ">= 0.6"),
        ("CPU of a 20 KiB hit / apt-cacher-ng", cpu["cache"]["median"] / cpu["acng"]["median"],
         lambda v: v <= 1 / 3, "<= 0.333"),
        ("bytes fetched / size, 32 clients", miss["fetched_ratio"], lambda v: v == 1, "1"),
        ("second client's first byte, s", second,
         lambda v: v <= min(1, miss["slice_s"] + 0.6), f"<= {min(1, miss['slice_s'] + 0.6):.3f}"),
        ("served without the origin", miss["served_without_origin"], lambda v: v == 1, "1"),
    ]  # fmt: skip
    return {
        name: {"found": round(value, 3), "wanted": wanted, "met": bool(met(value))}
        for name, value, met, wanted in found
    }


def machine() -> dict[str, str]:
    """What it ran on."""
    versions = {
        name: subprocess.run(command, capture_output=True, text=True, check=True)
        for name, command in {
            "nginx": ["nginx", "-v"],
            "apt-cacher-ng": ["dpkg-query", "-Wf=${Version}", "apt-cacher-ng"],
        }.items()
    }
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return {
        "kernel": platform.release(),
        "cpu": f"{os.cpu_count()} x {model[1] if model else platform.machine()}",
        "load": f"{os.getloadavg()[0]:.1f}",
        **{name: (done.stdout + done.stderr).strip() for name, done in versions.items()},
    }


def main() -> None:
    """Measure in turn, print the bars, and all figures as JSON last."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="at most 60 s")
    quick = parser.parse_args().quick
    lacking = [tool for tool in TOOLS if shutil.which(tool) is None]
    if lacking:
        sys.exit(f"bench: missing {', '.join(lacking)}; as root: apt-get install nginx-light "
                 "apt-cacher-ng wrk curl apt-utils util-linux")  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="datalab-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        (folder / "www").mkdir()
        servers = start(stack, folder)
        figures: dict[str, Any] = {"machine": machine(), "slice_kib": SLICE_KIB}
        sizes = {name: size for name, size in SIZES.items() if not quick or size != MIB}
        figures["apt"] = apt(servers, folder, 3 if quick else 11, 40 if quick else 150)
        figures["hits"] = hits(servers, folder, sizes, 3 if quick else 9, 1)
        stack.close()
        for step in ("misses", "changes", "overflow"):
            (folder / step).mkdir()
        figures["misses"] = misses(folder / "misses", (32 if quick else 128) * MIB)
        figures["changes"] = changes(folder / "changes")
        figures["overflow"] = overflow(folder / "overflow", 60 if quick else 180)
    figures["bars"] = bars(figures)
    for bar, result in figures["bars"].items():
        verdict = "met" if result["met"] else "MISSED"
        print(f"{bar}: {result['found']} (wanted {result['wanted']}): {verdict}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
