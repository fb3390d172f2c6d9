"""Asks running servers for the ids that they themselves gave, by name. Reads only."""

import os
import subprocess
import tempfile
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

import gitlab

from cli.fault import Fault

GITLAB_TIMEOUT_S = 20.0
# Type -> its list in GitLab's API, and the property that is its name there.
GITLAB_LISTS = {
    "Group": ("/groups", "path"),
    "PipelineSchedule": ("/projects/{project}/pipeline_schedules", "description"),
    "PipelineTrigger": ("/projects/{project}/triggers", "description"),
    "Project": ("/groups/{namespaceId}/projects", "path"),
    "ProjectAccessToken": ("/projects/{project}/access_tokens", "name"),
    "UserRunner": ("/runners/all", "description"),
}


def find(kind: str, inputs: Mapping[str, Any], provider: Mapping[str, Any]) -> str | None:
    """The id of the thing of type `kind` that has these inputs, or None.

    `provider` holds the inputs of its provider, secrets in clear. Raises Fault where the server
    cannot be asked.
    """
    package = kind.partition(":")[0]
    if package == "docker":
        return docker_id(kind, str(inputs["name"]), provider)
    return gitlab_id(kind, inputs, provider)


def docker_id(kind: str, name: str, provider: Mapping[str, Any]) -> str | None:
    """The engine's id of a container or network."""
    what = "network" if kind.endswith(":Network") else "container"
    with tempfile.TemporaryDirectory() as folder:
        env = dict(os.environ)
        if provider.get("host"):
            env["DOCKER_HOST"] = str(provider["host"])
        files = {"caMaterial": "ca.pem", "certMaterial": "cert.pem", "keyMaterial": "key.pem"}
        for material, file in files.items():
            if provider.get(material):
                path = Path(folder, file)
                path.touch(0o600)
                path.write_text(str(provider[material]))
                env |= {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": folder}
        try:
            answer = subprocess.run(
                ["docker", what, "inspect", "--format", "{{.Id}}", name],
                capture_output=True,
                text=True,
                check=False,
                env=env,
                timeout=60,
            )
        except FileNotFoundError:
            raise Fault(
                f"the docker command is needed to look for {what} {name}: apt install docker.io"
            ) from None
        except subprocess.TimeoutExpired:
            raise Fault(f"the Docker engine did not answer within 60 s about {name}") from None
    if answer.returncode == 0:
        return answer.stdout.strip()
    if "No such" in answer.stderr or "not found" in answer.stderr:
        return None
    raise Fault(f"cannot ask the Docker engine about {what} {name}: {answer.stderr.strip()}")


def gitlab_id(kind: str, inputs: Mapping[str, Any], provider: Mapping[str, Any]) -> str | None:
    """The import id of a thing in GitLab whose number GitLab chose."""
    name = kind.rpartition(":")[2]
    path, key = GITLAB_LISTS[name]
    wanted = inputs.get(key) or inputs.get("name")
    try:
        path = path.format_map(inputs)
    except KeyError:
        return None  # its project was not there either
    server = gitlab.Gitlab(
        str(provider["baseUrl"]).removesuffix("/").removesuffix("/api/v4"),
        private_token=str(provider["token"]),
        ssl_verify=provider.get("cacertFile") or True,
        timeout=GITLAB_TIMEOUT_S,
    )
    try:
        for row in server.http_list(path, iterator=True):
            if row.get(key) == wanted and row.get("revoked") is not True:
                return f"{inputs['project']}:{row['id']}" if "project" in inputs else str(row["id"])
    except gitlab.GitlabHttpError as error:
        if error.response_code == HTTPStatus.NOT_FOUND:
            return None
        raise Fault(f"GitLab does not say whether {wanted} is there: {error}") from None
    except (gitlab.GitlabError, OSError) as error:
        raise Fault(f"cannot ask GitLab at {server.url} about {wanted}: {error}") from None
    return None
