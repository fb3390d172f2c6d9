"""Every file that a deployment makes, from what the layers registered and the roles' templates."""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import jinja2
import yaml

from tests.harness.deploy import Deployed
from tests.harness.patched import ROOT

ROLES = ROOT / "ansible/roles"
# Variable of a role -> the file that it is; the role writes it as it stands.
TEXTS = {
    "vault_config": "vault:/etc/vault/vault.hcl",
    "gitlab_config": "gitlab:/etc/datalab/gitlab.rb",
    "gitlab_runner_config": "runner:/etc/gitlab-runner/config.toml",
    "cache_logins": "cache:/etc/nginx/logins.conf",
}


def files(done: Mapping[str, Deployed]) -> dict[str, str]:
    """Name -> text of every file that a deployment makes."""
    found: dict[str, str] = {}
    for layer in done.values():
        for container in layer.all("docker:index/container:Container"):
            name = container.name.removesuffix("-container")
            for upload in container.inputs.get("uploads") or ():
                found[f"{name}:{upload['file']}"] = upload["content"]
        for command in layer.all("command:local:Command"):
            if text := command.inputs.get("stdin"):
                found.update(role_files(json.loads(text)))
    return found


def role_files(job: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The files of a machine, from what is given to Ansible."""
    variables = dict(job["variables"])
    yield from ((f"cache:{path}", text) for path, text in variables.get("cache_files", {}).items())
    yield from ((file, variables[name]) for name, file in TEXTS.items() if variables.get(name))
    for role in job["roles"]:
        known = {**_defaults(role), "program_path": "/opt/x/1/x", **_FACTS, **variables}
        known |= {key: _settled(value, known) for key, value in _vars(role).items()}
        for template in sorted((ROLES / role / "templates").glob("*.j2")):
            for item in _items(template.name, known):
                text = _environment().from_string(template.read_text()).render(known, item=item)
                key = f"{item['key']}/" if item else ""
                yield f"{job['host']}:{role}/{key}{template.name}", text


# A machine of each distribution: common_mirrors have archives of both where the cache has them.
_FACTS = {"ansible_facts": {"distribution": "Ubuntu", "distribution_release": "noble"}}


def _items(template: str, known: Mapping[str, Any]) -> list[Any]:
    """What a template is written for: each registry, or once; nothing without its archive."""
    if template == "registry.yml.j2":
        return [{"key": key, "value": value} for key, value in known["cache_registries"].items()]
    archive = template.partition(".")[0]
    if template.endswith(".sources.j2"):
        needed = {archive, "debian-security"} if archive == "debian" else {archive}
        return [None] if needed <= set(known.get("common_mirrors") or {}) else []
    return [None]


@cache
def _environment() -> jinja2.Environment:
    """Ansible's, as far as the roles' templates need it."""
    made = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - configuration files
    )
    made.filters |= {"to_json": json.dumps, "split": str.split}
    made.filters["urlsplit"] = lambda url, part: getattr(urlsplit(url), part)
    return made


def _yaml(role: str, folder: str) -> dict[str, Any]:
    file = ROLES / role / folder / "main.yml"
    return dict(yaml.safe_load(file.read_text()) or {}) if file.exists() else {}


@cache
def _defaults(role: str) -> dict[str, Any]:
    return _yaml(role, "defaults")


@cache
def _vars(role: str) -> dict[str, Any]:
    return _yaml(role, "vars")


def _settled(value: Any, known: Mapping[str, Any]) -> Any:
    """A variable's value; what needs more than its role's variables is left as it is."""
    if isinstance(value, dict):
        return {key: _settled(part, known) for key, part in value.items()}
    if not isinstance(value, str) or "{{" not in value:
        return value
    try:
        return _environment().from_string(value).render(known)
    except jinja2.TemplateError:
        return value
