"""The servers that bench compares: raw nginx, the cache, and apt-cacher-ng."""

import os
import re
import statistics
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cache.running import settings, site, write
from tests.harness.process import clean_environment, listens, server

TOOLS = ("nginx", "apt-cacher-ng", "wrk", "curl", "apt-get", "apt-ftparchive", "taskset")
KIB, MIB = 1 << 10, 1 << 20
SIZES = {"20k": 20 * KIB, "1m": MIB, "64m": 64 * MIB}
ONE_WORKER = {"worker_processes auto": "worker_processes 1"}
CLIENT_CPU = str((os.cpu_count() or 1) - 1)
TICK = os.sysconf("SC_CLK_TCK")
RAW = """
user root; pid {folder}/raw.pid; error_log {folder}/raw.err; worker_processes 1;
events {{ worker_connections 4096; }}
http {{
    log_format access escape=json '{{"time":"$time_iso8601","client":"$remote_addr",'
        '"uri":"$request_uri","status":$status,"bytes":$body_bytes_sent,"seconds":$request_time}}';
    sendfile on; tcp_nopush on; keepalive_requests 100000; open_file_cache max=4096;
    access_log {folder}/raw.json access buffer=32k flush=1s;
    server {{ listen 127.0.0.1:{port}; root {folder}/www; }}
}}
"""


@dataclass(frozen=True)
class Server:
    """A server under test: the address of the repository there, and its process."""

    url: str
    pid: int

    def processes(self) -> list[int]:
        """It and its workers."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [self.pid, *map(int, children)]

    def cpu_s(self) -> float:
        """CPU seconds that it has used."""
        ticks = 0
        for pid in self.processes():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / TICK

    def rss_mib(self) -> float:
        """Its resident memory, MiB."""
        text = "".join(Path(f"/proc/{pid}/status").read_text() for pid in self.processes())
        return sum(int(kib) for kib in re.findall(r"VmRSS:\s+(\d+)", text)) / 1024


def spread(values: list[float]) -> dict[str, float]:
    """Median and quartiles."""
    low, middle, high = statistics.quantiles(values, n=4) if len(values) > 1 else values * 3
    return {"median": round(middle, 4), "q1": round(low, 4), "q3": round(high, 4)}


@contextmanager
def pinned(command: list[str], port: int, folder: Path) -> Iterator[int]:
    """A server on the first core; its process id."""
    log = folder / f"{port}.log"
    whole = ["taskset", "-c", "0", *command]
    with server(whole, lambda: listens(port), log, env=clean_environment()) as process:
        yield process.pid


def start(stack: ExitStack, folder: Path) -> dict[str, Server]:
    """Raw nginx, which is the origin too, and both caches in front of it."""
    # apt-cacher-ng 3.7.4 knows no port above 32767, neither its own nor an origin's.
    free = (port for port in range(23_142, 32_767) if not listens(port))
    ports = {"raw": next(free), "acng": next(free)}
    (folder / "raw.conf").write_text(RAW.format(folder=folder, port=ports["raw"]))
    raw = ["nginx", "-c", str(folder / "raw.conf"), "-g", "daemon off;"]
    origin = f"http://127.0.0.1:{ports['raw']}/repo"
    servers = {"raw": Server(origin, stack.enter_context(pinned(raw, ports["raw"], folder)))}

    where = site(folder / "cache")
    write(settings(repo={"kind": "apt", "url": origin}), where, ONE_WORKER)
    own = ["nginx", "-c", f"{where.config_dir}/nginx.conf", "-g", "daemon off;"]
    pid = stack.enter_context(pinned(own, where.port, folder))
    servers["cache"] = Server(f"http://127.0.0.1:{where.port}/repo", pid)

    (folder / "acng").mkdir()
    options = {
        "CacheDir": f"{folder}/acng",
        "LogDir": f"{folder}/acng-log",
        "Port": ports["acng"],
        "BindAddress": "127.0.0.1",
        "ForeGround": 1,
        "AllowUserPorts": 0,  # the origin's is not 80
        "SocketPath": f"{folder}/acng.sock",
        "PidFile": f"{folder}/acng.pid",
    }
    (folder / "acng-log").mkdir()
    words = [f"{key}={value}" for key, value in options.items()]
    command = ["apt-cacher-ng", "-c", "/etc/apt-cacher-ng", *words]
    pid = stack.enter_context(pinned(command, ports["acng"], folder))
    servers["acng"] = Server(f"http://127.0.0.1:{ports['acng']}/127.0.0.1:{ports['raw']}/repo", pid)
    return servers
