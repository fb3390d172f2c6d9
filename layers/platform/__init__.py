"""Layer 2: the Docker host and its network, GitLab with its registry, the runner.

It needs FoundationOutputs. It hands up PlatformOutputs.
"""

from collections.abc import Mapping
from functools import partial

import pulumi
import pulumi_docker as docker
import pulumi_gitlab

from layers.ground import Ground, basic_providers, container_network, ground, mirrors
from layers.outputs import FoundationOutputs, PlatformOutputs, login, secret_map
from layers.platform.docker_host import DockerHost, DockerHostArgs
from layers.platform.gitlab import GitLab, GitLabArgs, Store
from layers.platform.job_identity import JobIdentity, JobIdentityArgs
from layers.platform.runner import Runner, RunnerArgs
from layers.secrets import Passwords
from layers.vault import vault_provider
from places.trust import trust_file
from settings import Settings
from settings.foundation.cache import DOCKER_HUB
from settings.mirrors import environment as cache_environment
from settings.mirrors import sources as cache_sources
from settings.names import endpoints, job_hosts
from settings.program import Given


def deploy(environment: str, settings: Settings, given: Given) -> None:
    """Bring up layer 2 and export its outputs."""
    below = FoundationOutputs.read(environment)
    base = ground(
        "platform",
        settings,
        given,
        basic_providers(),
        ca=below.ca_certificate,
        network=below.network,
    ).behind(below.cache.apply(partial(mirrors, settings.foundation.cache)))
    engine: Mapping[str, pulumi.Input[str]]
    if settings.common.target.kind == "docker":
        engine = {"host": "", "ca": "", "certificate": "", "key": ""}
        network = below.network
    else:
        engine = _docker_host(settings, base, below)
        network = _network(settings, engine)
    addresses: dict[str, str] = {}
    logins: dict[str, dict[str, pulumi.Input[str]]] = {}
    token = accessor = pulumi.Output.from_input("")
    if settings.platform.gitlab.enabled:
        passwords = Passwords("passwords", settings.common, base.options())
        # GitLab takes a personal access token of 20 characters or more.
        token = pulumi.Output.concat("glpat-", passwords.make("gitlab-token", 40))
        root_password = passwords.make("gitlab-root")
        ready = _gitlab(settings, base, below, token, root_password)
        _runner(settings, base, below, engine, _api(settings, below, token, ready))
        addresses, accessor = _addresses(settings), _job_identity(settings, below, ready)
        logins["gitlab"] = login(endpoints(settings)["gitlab"], "root", root_password)
    PlatformOutputs(
        docker=pulumi.Output.secret(pulumi.Output.all(**engine)),
        network=network,
        gitlab=pulumi.Output.from_input(addresses),
        gitlab_token=pulumi.Output.secret(token),
        logins=secret_map(logins),
        vault_jwt_accessor=accessor,
    ).export()


def _docker_host(
    settings: Settings, base: Ground, below: FoundationOutputs
) -> dict[str, pulumi.Input[str]]:
    """The Docker VM; how its engine is reached."""
    where, node = endpoints(settings), settings.common.target
    server, client = below.certificates["docker"], below.certificates["docker-client"]
    host = DockerHost(
        "docker",
        DockerHostArgs(
            settings=settings.platform.docker,
            pci=node.pci if node.kind == "proxmox" else {},
            place=base.place,
            ca=below.ca_certificate,
            certificate=server["certificate"],
            key=server["key"],
            registries=[f"{where['registry'].host}:{where['registry'].port}"]
            if "registry" in where
            else [],
            mirror=below.cache.apply(_docker_hub_mirror),
        ),
        base.options(),
    )
    endpoint = where["docker"]
    return {
        "host": host.ready.apply(lambda _: f"tcp://{endpoint.address}:{endpoint.port}"),
        "ca": below.ca_certificate,
        "certificate": client["certificate"],
        "key": client["key"],
    }


def _docker_hub_mirror(urls: Mapping[str, Mapping[str, str]]) -> str:
    """The cache's address for Docker Hub, or empty text; the engine wants it without a path."""
    end = f"/{DOCKER_HUB}"
    prefix = next((p for p in urls.get("oci", {}).values() if p.endswith(end)), "")
    return f"http://{prefix.removesuffix(end)}" if prefix else ""


def _network(settings: Settings, engine: Mapping[str, pulumi.Input[str]]) -> pulumi.Output[str]:
    provider = docker.Provider(
        "docker",
        host=engine["host"],
        ca_material=pulumi.Output.secret(engine["ca"]),
        cert_material=pulumi.Output.secret(engine["certificate"]),
        key_material=pulumi.Output.secret(engine["key"]),
    )
    return container_network(settings, [provider])


def _addresses(settings: Settings) -> dict[str, str]:
    where = endpoints(settings)
    web, registry = where["gitlab"], where["registry"]
    return {
        "url": web.url,
        "api_url": f"{web.scheme}://{web.address}:{web.port}/api/v4/",
        "registry": f"{registry.host}:{registry.port}",
    }


def _gitlab(
    settings: Settings,
    base: Ground,
    below: FoundationOutputs,
    token: pulumi.Output[str],
    root_password: pulumi.Output[str],
) -> pulumi.Output[str]:
    """GitLab; known once it answers and takes the token."""
    where, key = endpoints(settings), below.credentials["gitlab"]
    return GitLab(
        "gitlab",
        GitLabArgs(
            settings=settings.platform.gitlab,
            place=base.place,
            publish=base.publish,
            web=where["gitlab"],
            registry=where["registry"],
            store=Store(
                endpoint=where["store"].inner_url,
                region=settings.common.region,
                access_key=key["access_key"],
                secret_key=key["secret_key"],
            ),
            root_password=root_password,
            token=token,
            ca=below.ca_certificate,
            certificate=below.certificates["gitlab"]["certificate"],
            key=below.certificates["gitlab"]["key"],
        ),
        base.options(),
    ).ready


def _runner(
    settings: Settings,
    base: Ground,
    below: FoundationOutputs,
    engine: Mapping[str, pulumi.Input[str]],
    api: pulumi_gitlab.Provider,
) -> None:
    """The runner, whose jobs run on the engine."""
    where = endpoints(settings)
    Runner(
        "runner",
        RunnerArgs(
            settings=settings.platform.runner,
            place=base.place,
            gitlab_url=where["gitlab"].inner_url,
            # In `dev` services listen on the machine's loopback address, which no job with a
            # network of its own could reach.
            network=settings.platform.docker.network.name
            if settings.common.target.kind == "docker"
            else "",
            docker_host=engine["host"],
            ca=below.ca_certificate,
            certificate=engine["certificate"],
            key=engine["key"],
            environment=cache_environment(settings.foundation.cache, where["cache"].inner_url),
            sources=cache_sources(settings.foundation.cache, where["cache"].inner_url),
            hosts=job_hosts(settings),
        ),
        base.options(api),
    )


def _api(
    settings: Settings,
    below: FoundationOutputs,
    token: pulumi.Output[str],
    ready: pulumi.Output[str],
) -> pulumi_gitlab.Provider:
    return pulumi_gitlab.Provider(
        "gitlab",
        base_url=ready.apply(lambda _: _addresses(settings)["api_url"]),
        token=token,
        cacert_file=trust_file(below.ca_certificate, settings.common.trust_path),
        # It would ask GitLab before there is one, in every preview of a fresh lab.
        early_auth_check=False,
    )


def _job_identity(
    settings: Settings, below: FoundationOutputs, ready: pulumi.Output[str]
) -> pulumi.Output[str]:
    """The way of GitLab's jobs into Vault; the accessor of its auth mount."""
    provider = vault_provider(settings, below.ca_certificate, below.vault_identities["platform"])
    return JobIdentity(
        "job-identity",
        JobIdentityArgs(
            gitlab_url=endpoints(settings)["gitlab"].inner_url,
            ready=ready,
            ca=below.ca_certificate,
        ),
        pulumi.ResourceOptions(providers=[provider]),
    ).accessor
