"""Asks running servers for the ids that they themselves gave, by name. Reads only."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from cli.lib import docker
from cli.lib.fault import Fault

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
        return docker.find(kind, str(inputs["name"]), provider)
    return gitlab_id(kind, inputs, provider)


def gitlab_id(kind: str, inputs: Mapping[str, Any], provider: Mapping[str, Any]) -> str | None:
    """The import id of a thing in GitLab whose number GitLab chose."""
    import gitlab  # seldom needed: only what a kill left open is asked for

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
