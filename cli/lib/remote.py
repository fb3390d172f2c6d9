"""What the state says of a node's machines: how to log in there, the engine's access, the token."""

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cli.lib import ansible, docker
from cli.lib.backend import passphrase, prepare
from cli.lib.fault import Fault
from cli.lib.pulumi import visible
from settings import Settings, docker_engine
from toolchain import pulumi_cli

STATE_S = 10.0  # as long as a store with the state may take to answer
LAYERS = ("foundation", "platform", "services")
DOCKER = docker.PROVIDER
PROXMOX = "pulumi:providers:proxmoxve"
TOKENS = "gitlab:index/projectAccessToken:ProjectAccessToken"


@dataclass(frozen=True, kw_only=True)
class Remote:
    """What the state of an environment on a node holds; secrets in clear, in memory only.

    jobs are runs of Ansible by their machine's address; docker are the inputs of the engine's
    provider, None where there is no engine yet. expiries are those of GitLab's tokens, by name.
    """

    jobs: Mapping[str, Mapping[str, Any]]
    docker: Mapping[str, Any] | None
    token: str
    expiries: Mapping[str, datetime]

    @contextmanager
    def engine(self) -> Iterator[docker_engine.Named]:
        """The Docker VM's engine; Fault where there is none."""
        if self.docker is None:
            raise Fault("there is no Docker host yet")
        with docker.connection(self.docker) as env:
            yield docker_engine.named(env)


def read(env: str, settings: Settings) -> Remote:
    """What the state holds; Fault where it cannot be read, such as without the passphrase."""
    secret = passphrase(env, settings.common.target.kind)
    # Before anything that would get one: to look must take seconds.
    if pulumi_cli.find_pulumi() is None:
        raise Fault(f"Pulumi, which reads it, is not here yet: ./lab env {env} gets it")
    engine, _ = prepare(env, secret)

    def of(layer: str) -> list[dict[str, Any]]:
        return engine.resources(f"{env}-{layer}", "--show-secrets", timeout_s=STATE_S)

    with ThreadPoolExecutor() as pool:
        resources = [row for rows in pool.map(of, LAYERS) for row in rows]
    return of_resources(resources)


def of_resources(resources: list[dict[str, Any]]) -> Remote:
    """The same, from all resources of the layers."""
    inputs = {
        row["type"]: dict(visible(row.get("inputs") or {}))
        for row in resources
        if row["type"] in (PROXMOX, DOCKER)
    }
    jobs = [json.loads(run.job) for run in ansible.among(resources)]
    return Remote(
        jobs={str(job["address"]): job for job in jobs},
        docker=inputs.get(DOCKER),
        token=str(inputs.get(PROXMOX, {}).get("apiToken") or ""),
        expiries={
            str(row["outputs"]["name"]): _day(row["outputs"]["expiresAt"])
            for row in resources
            if row["type"] == TOKENS and row.get("outputs", {}).get("expiresAt")
        },
    )


def _day(text: str) -> datetime:
    """GitLab's tokens end with the beginning of a day."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
