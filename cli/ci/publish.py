"""`./lab gitlab publish ENV`: this repository into the lab's GitLab, run from outside the lab."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gitlab
import hvac
import requests
from hvac import exceptions

from cli.ci.tree import git
from cli.lib import stacks
from cli.lib.backend import PASSPHRASE, prepare, url
from cli.lib.fault import Fault, say
from cli.lib.pulumi import Engine
from layers import LAYERS
from settings import Settings
from settings.names import endpoints
from targets.trust import keep
from toolchain.install import ROOT

BRANCH = "main"
# Reads the token from the environment: an argument of git would be there for everybody to see.
HELPER = '!f() { echo username=datalab; echo "password=$DATALAB_PUSH_TOKEN"; }; f'
# The empty one takes the user's own helpers away: git gives a password that worked to all to keep.
HELPER_ONLY = ("-c", "credential.helper=", "-c", f"credential.helper={HELPER}")
# Path under kv/infra/ci -> the object store's consumer as whom its jobs reach the state.
STATE_USERS = {"preview": "state-reader", "deploy": "state"}


def run(values: argparse.Namespace) -> int:
    """Make group and project if they are not there, push, and hand the pipelines their secrets."""
    engine, settings = prepare(values.env)
    if not settings.platform.gitlab.enabled:
        raise Fault(f"Pulumi.{values.env}.yaml: datalab:platform.gitlab.enabled is false", 2)
    if git("status", "--porcelain", "--untracked-files=no"):
        raise Fault("there are changes that are not committed; commit or discard them first")
    project = _project(engine, values)
    foundation = engine.outputs(f"{values.env}-foundation", "--show-secrets")
    platform = engine.outputs(f"{values.env}-platform", "--show-secrets")
    authority = keep(foundation["ca_certificate"], ROOT / settings.common.trust_path)
    push(f"{platform['gitlab']['url']}/{project['path']}.git", platform["gitlab_token"], authority)
    print(f"pushed to {platform['gitlab']['url']}/{project['path']}")
    keep_forks_out(platform["gitlab"]["url"], platform["gitlab_token"], project["id"], authority)
    _hand_over(engine, values.env, settings, foundation, platform["docker"], authority=authority)
    return 0


def _project(engine: Engine, values: argparse.Namespace) -> Mapping[str, Any]:
    """The project, which the services layer makes: one owner for one thing."""
    stack = f"{values.env}-services"
    for last in (False, True):
        outputs = engine.outputs(stack, "--show-secrets") if engine.stacks().get(stack) else {}
        found = outputs.get("gitlab_project")
        if found and found.get("id"):
            return dict(found)
        if last:
            break
        # Everything below it must stand; `up` says which command to run where it does not.
        if code := stacks.up(values.env, "services", yes=values.yes):
            raise Fault(f"{LAYERS[2]} did not come up, so there is no project to push to", code)
    raise Fault(f"{stack} has no GitLab project; is platform.gitlab.enabled new? ./lab up first")


def push(remote: str, token: str, authority: str) -> None:
    """Push HEAD as the project's main branch; Fault when main has commits that HEAD lacks."""
    git(
        *("push", remote, f"HEAD:refs/heads/{BRANCH}"),
        options=HELPER_ONLY,
        secret=token,
        DATALAB_PUSH_TOKEN=token,
        GIT_SSL_CAINFO=authority,
        GIT_TERMINAL_PROMPT="0",
    )


def keep_forks_out(url: str, token: str, project: str, authority: str | None) -> None:
    """No member can run a fork's code with this project's rights by a click on "Run pipeline".

    The provider has no property for it (pulumi_gitlab 10.4.0).
    """
    server = gitlab.Gitlab(url, private_token=token, ssl_verify=authority or True, timeout=30)
    try:
        server.projects.update(
            int(project), {"ci_allow_fork_pipelines_to_run_in_parent_project": False}
        )
    except (gitlab.GitlabError, requests.RequestException) as error:
        raise Fault(f"GitLab failed: {str(error)[:300]}") from None


def _hand_over(
    engine: Engine,
    env: str,
    settings: Settings,
    foundation: Mapping[str, Any],
    docker: Mapping[str, str],
    *,
    authority: str,
) -> None:
    """Write what previews and deployments need into Vault: the backend and its passphrase."""
    backend = url(env)
    if not backend.startswith("s3:"):
        say(
            f"the state of {env} is in this checkout, where no pipeline can reach it: run "
            f"./lab state move {env}, then this command again"
        )
        return
    identity = foundation["vault_identities"]["services"]
    common = {"PULUMI_BACKEND_URL": backend, PASSPHRASE[0]: passphrase_of(engine.variables)}
    given = state_records(env, common, foundation["credentials"])
    given["deploy"] |= docker_access(docker)
    vault = endpoints(settings)["vault"]
    session = requests.Session()
    session.trust_env, session.verify = False, authority
    client = hvac.Client(f"https://{vault.reached}", session=session)
    try:
        client.auth.userpass.login(identity["username"], identity["password"])
        for name, secret in given.items():
            client.secrets.kv.v2.create_or_update_secret(
                f"infra/ci/{name}", secret, mount_point="kv"
            )
    except (exceptions.VaultError, requests.RequestException) as error:
        raise Fault(f"Vault refuses the pipelines' records: {str(error)[:300]}") from None
    print("kv/infra/ci/preview and kv/infra/ci/deploy: written")


def docker_access(docker: Mapping[str, str]) -> dict[str, str]:
    """How the images' job reaches the lab's engine; empty for the engine of the machine at hand."""
    if not docker.get("host"):
        return {}
    return {
        "DOCKER_HOST": docker["host"],
        "DOCKER_CA_PEM": docker["ca"],
        "DOCKER_CERT_PEM": docker["certificate"],
        "DOCKER_KEY_PEM": docker["key"],
    }


def state_records(
    env: str, common: Mapping[str, str], credentials: Mapping[str, Mapping[str, str]]
) -> dict[str, dict[str, str]]:
    """What jobs find under kv/infra/ci, by path: previews read the state, only deployments write.

    Fault where the foundation is older than one of the users.
    """
    if missing := sorted(set(STATE_USERS.values()) - credentials.keys()):
        raise Fault(
            f"the object store has no user {', '.join(missing)} yet: run ./lab up {env} {LAYERS[0]}"
        )
    return {
        path: {
            **common,
            "AWS_ACCESS_KEY_ID": credentials[user]["access_key"],
            "AWS_SECRET_ACCESS_KEY": credentials[user]["secret_key"],
        }
        for path, user in STATE_USERS.items()
    }


def passphrase_of(variables: Mapping[str, str]) -> str:
    """The passphrase as a value, also where this machine keeps it in a file."""
    value, file = PASSPHRASE
    return (
        variables[value] if value in variables else Path(variables[file]).read_text().rstrip("\n")
    )
