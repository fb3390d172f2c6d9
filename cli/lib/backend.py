"""Where an environment's state lives, and what plain Pulumi needs to reach it."""

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlencode

from cli.lib.fault import Fault, SettingsFault
from cli.lib.pulumi import Engine
from layers import LAYERS
from settings import ENVIRONMENTS, PROJECT, Settings, SettingsError, docker_engine, load_file
from settings.containers import from_packages
from settings.stackfile import layer_file
from toolchain import install, obtain, pulumi_cli

# Documented: dev's state never leaves the machine and its services listen on loopback only.
DEV_PASSPHRASE = "dev"  # noqa: S105 - a published word
TOKEN_KEY = f"{PROJECT}:proxmoxApiToken"
PASSPHRASE = ("PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE")
# What leads the Docker provider elsewhere. A context overrides even the host that the program gives
# (terraform-provider-docker), but not for builds; DOCKER_HOST overrides it for builds alone.
DOCKER_CONTEXT = "DOCKER_CONTEXT"
DOCKER_ENGINE = (
    *("DOCKER_HOST", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY"),
    *("DOCKER_CA_MATERIAL", "DOCKER_CERT_MATERIAL", "DOCKER_KEY_MATERIAL"),
)

# What else the providers take from the shell where the program says nothing: it is for another
# server. VAULT_SKIP_VERIFY=1 was, and the lab's own CA counted for nothing.
OTHER_SERVERS = ("VAULT_", "TERRAFORM_VAULT_", "PROXMOX_VE_", "GITLAB_", "MINIO_", "PG")


# Executables by the names of plugins (rehearsal/plugin.py).
LOCAL_PROVIDERS = install.ROOT / "rehearsal" / "bin"
NO_DOWNLOADS = "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"


def chosen(layer: str | None) -> tuple[str, ...]:
    """The layers that a command is about, lowest first."""
    return (layer,) if layer else LAYERS


def folder(env: str) -> Path:
    """Where the state of `env` starts, and what `./lab` itself keeps about it."""
    return install.ROOT / ".state" / env


def file_backend(folder: Path) -> str:
    """The backend whose state is in `folder`.

    Files replace each other whole, but for the .attrs next to each: an engine killed while it wrote
    one left "failed to load checkpoint: EOF" and a stack that no command could read.
    """
    return f"{folder.as_uri()}?metadata=skip"


def file_url(env: str) -> str:
    """The backend in the checkout."""
    return file_backend(folder(env))


def marker(env: str) -> Path:
    """The file that names the backend once the state was moved out of the checkout."""
    return folder(env) / "backend"


def url(env: str) -> str:
    """The backend of all four stacks; references cannot cross backends (pulumi#3395)."""
    try:
        return marker(env).read_text().strip()
    except FileNotFoundError:
        return file_url(env)


def set_up() -> list[str]:
    """The environments that were set up in this checkout; Fault where there is none."""
    if found := [env for env in ENVIRONMENTS if folder(env).is_dir()]:
        return found
    raise Fault("nothing is set up in this checkout: ./lab init dev, or name the environment")


def only_one(env: str | None) -> str:
    """The environment that was named, else the only one that is set up here."""
    found = [env] if env else set_up()
    if len(found) > 1:
        raise Fault(f"which environment? {' and '.join(found)} are set up here", 2)
    return found[0]


def drift_file(env: str) -> Path:
    """Where the last `./lab drift` of all layers says when it ended, and how."""
    return folder(env) / "drift.json"


def s3_url(endpoint: str, region: str) -> str:
    """Pulumi's backend URL for an S3 store that is not Amazon's.

    `endpoint` has a scheme (https://store.lab.home.arpa:9000). Without path style the bucket
    would become a host name; without `when_required` such stores answer 403 (pulumi#24109).
    """
    if not endpoint.startswith(("https://", "http://")):
        raise ValueError(f"the endpoint {endpoint!r} needs a scheme: https://HOST:PORT")
    query = {
        "endpoint": endpoint.rstrip("/"),
        "region": region,
        "s3ForcePathStyle": "true",
        "request_checksum_calculation": "when_required",
    }
    return f"s3://pulumi-state?{urlencode(query)}"


def stack_file(env: str) -> Path:
    """The one file with the settings of `env`."""
    return install.ROOT / f"Pulumi.{env}.yaml"


def settings_of(env: str) -> Settings:
    """The checked settings of `env`; SettingsFault with every fault at once."""
    try:
        return load_file(stack_file(env))
    except SettingsError as error:
        if error.budget and error.budget.errors:
            from rich.console import Console

            from cli.lib.tables import show

            show(error.budget, Console(stderr=True))
        raise SettingsFault(str(error)) from None


def trust(engine: Engine, env: str, settings: Settings) -> None:
    """Put the lab CA's certificate where providers look for it, which the program else does.

    `destroy` and `refresh` run providers and not the program: with the state in the lab's store, a
    fresh checkout has no certificate. Nothing is done where the foundation has none either.
    """
    if url(env) == file_url(env):
        return
    try:
        pem = engine.capture("stack", "output", "ca_certificate", "-s", f"{env}-{LAYERS[0]}")
    except Fault:
        return
    from targets.trust import keep  # pulumi takes 0.2 s to import

    keep(pem.strip() + "\n", install.ROOT / settings.common.trust_path)


def link_faults(env: str) -> list[str]:
    """What is wrong with the stack files, which must be links to the environment's one file.

    Where a link is missing Pulumi creates an empty file with a salt of its own and runs on it.
    """
    target = f"../Pulumi.{env}.yaml"
    faults = []
    for layer in LAYERS:
        link = layer_file(install.ROOT, env, layer)
        name = link.relative_to(install.ROOT)
        if link.is_symlink() and str(link.readlink()) == target:
            continue
        found = "a file of its own" if link.is_file() and not link.is_symlink() else "missing"
        if link.is_symlink():
            found = f"a link to {link.readlink()}"
        faults.append(
            f"{name} is {found}, not a link to {target}: ln -sfn {target} {name}"
            " (git: core.symlinks must be true)"
        )
    return faults


def agree(env: str) -> None:
    """Fault where the shell is set up for another environment."""
    there = os.environ.get("PULUMI_BACKEND_URL")
    if there and there != url(env):
        raise Fault(
            f"PULUMI_BACKEND_URL is {there}, but the state of {env} is in {url(env)}. "
            f'Run eval "$(./lab env {env})", or unset PULUMI_BACKEND_URL',
            2,
        )


def passphrase(env: str, place: str) -> dict[str, str]:
    """The variable that opens the secrets of `env`; Fault where its operator must set it."""
    if place == "docker":
        return {PASSPHRASE[0]: DEV_PASSPHRASE}
    given = {name: os.environ[name] for name in PASSPHRASE if os.environ.get(name)}
    if given.get(PASSPHRASE[0]) == DEV_PASSPHRASE:
        del given[PASSPHRASE[0]]  # left over from `eval "$(./lab env dev)"`
    if not given:
        raise Fault(
            f"the passphrase of {env} is not set: set PULUMI_CONFIG_PASSPHRASE_FILE to a file "
            "that only you can read, or PULUMI_CONFIG_PASSPHRASE",
            2,
        )
    file = Path(given.get(PASSPHRASE[1], os.devnull))
    if not os.access(file, os.R_OK):
        raise Fault(f"PULUMI_CONFIG_PASSPHRASE_FILE: cannot read {file}", 2)
    return given


def store_access(env: str) -> dict[str, str]:
    """How to log in to the lab's own store, once the state is there; kept by `./lab state move`."""
    credentials, authority = folder(env) / "credentials", folder(env) / "ca.pem"
    access = {}
    if credentials.exists() and not os.environ.get("AWS_ACCESS_KEY_ID"):
        access["AWS_SHARED_CREDENTIALS_FILE"] = str(credentials)
    if authority.exists() and not os.environ.get("AWS_CA_BUNDLE"):
        access["AWS_CA_BUNDLE"] = str(authority)
    return access


def unwanted(place: str) -> set[str]:
    """Variables of the shell that no provider may see; only `dev` is on its Docker engine."""
    others = {name for name in os.environ if name.startswith(OTHER_SERVERS)}
    return {DOCKER_CONTEXT, *others, *(() if place == "docker" else DOCKER_ENGINE)}


def variables(env: str, place: str, secret: dict[str, str]) -> dict[str, str]:
    """The environment of every process that `./lab` runs for `env`."""
    left = {*PASSPHRASE, *unwanted(place)}
    base = {name: value for name, value in os.environ.items() if name not in left}
    store = store_access(env) if url(env).startswith("s3:") else {}
    base |= {"PULUMI_BACKEND_URL": url(env), **secret, **store}
    if place == "docker":
        base |= docker_engine.named().variables
    return pulumi_cli.environment(obtain.ensure_pulumi(), base)


def local_providers(settings: Settings, variables: Mapping[str, str]) -> dict[str, str]:
    """What leads Pulumi to the local providers, where the settings have images from packages."""
    if not from_packages(settings):
        return {}
    path = os.pathsep.join([str(LOCAL_PROVIDERS), variables["PATH"]])
    return {"PATH": path, NO_DOWNLOADS: "true"}


def checked(env: str) -> Settings:
    """The settings of `env`, with its stack files and the shell in order; Fault says what to do."""
    settings = settings_of(env)
    links = link_faults(env)
    if links:
        raise SettingsFault("\n".join(links))
    agree(env)
    return settings


def prepare(env: str, secret: dict[str, str] | None = None) -> tuple[Engine, Settings]:
    """Check everything that can be checked before the engine starts; Fault says what to do."""
    settings = checked(env)
    place = settings.common.target.kind
    secret = passphrase(env, place) if secret is None else secret
    folder(env).mkdir(parents=True, exist_ok=True, mode=0o700)
    found = variables(env, place, secret)
    found |= local_providers(settings, found)
    return Engine(folder=install.ROOT, variables=found), settings
