"""renovate.json finds every version of images.yaml and of the Python packages.

Its expressions run as Renovate runs them (lib/modules/manager/custom/regex): by RE2, and by
JavaScript where that is missing.
"""

import json
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import re2

from settings.images import PATH, read
from tests.harness.node import NODE

FILE = PATH.parent / "renovate.json"
CONFIG = json.loads(FILE.read_text())
FIELDS = ("depName", "currentValue", "datasource", "extractVersion", "registryUrl")
SCRIPT = """
const [text, expression] = JSON.parse(require('fs').readFileSync(0));
const found = [...text.matchAll(new RegExp(expression, 'g'))];
console.log(JSON.stringify(found.map(m => [m[0], {...m.groups}])));
"""
Match = tuple[str, dict[str, str]]
Engine = Callable[[str, str], list[Match]]


def by_re2(text: str, expression: str) -> list[Match]:
    """Every match with its groups; a group that took no part is not there."""
    return [
        (found[0], {k: v for k, v in found.groupdict().items() if v is not None})
        for found in re2.finditer(expression, text)
    ]


def by_javascript(text: str, expression: str) -> list[Match]:
    """The same."""
    done = subprocess.run(
        [NODE / "node", "-e", SCRIPT],
        input=json.dumps([text, expression]),
        capture_output=True,
        text=True,
        check=True,
    )
    return [(whole, groups) for whole, groups in json.loads(done.stdout)]


def extract(manager: Mapping[str, Any], text: str, run: Engine) -> Iterator[dict[str, str]]:
    """What a manager finds in a file."""
    strings = manager["matchStrings"]
    if manager.get("matchStringsStrategy") == "recursive":
        found: list[Match] = [(text, {})]
        for expression in strings:
            found = [
                (inner, {**groups, **more})
                for outer, groups in found
                for inner, more in run(outer, expression)
            ]
    else:
        found = [match for expression in strings for match in run(text, expression)]
    for _, groups in found:
        values = {field: groups.get(field, "") for field in FIELDS}
        for field in FIELDS:
            if template := manager.get(f"{field}Template"):
                for name, value in groups.items():
                    template = template.replace(f"{{{{{{{name}}}}}}}", value)
                values[field] = template
        yield {field: value for field, value in values.items() if value}


def dependencies(run: Engine) -> list[dict[str, str]]:
    """Everything that Renovate looks for in images.yaml."""
    return [
        made
        for manager in CONFIG["customManagers"]
        if any(re.search(p.strip("/"), PATH.name) for p in manager["managerFilePatterns"])
        for made in extract(manager, PATH.read_text(), run)
    ]


@pytest.mark.parametrize("run", [by_re2, by_javascript])
def test_every_version_of_images_yaml_is_found_once(run: Engine) -> None:
    catalogue = read()
    expected = [(image.image, image.tag) for image in catalogue.images.values()]
    expected += [("", download.version) for download in catalogue.downloads.values()]
    releases = [r for repository in catalogue.repositories.values() for r in repository.releases]
    expected += [
        (release.packages[0], release.version)
        if not release.packages[0].startswith("nvidia")
        else ("NVIDIA/nvidia-container-toolkit", release.version.removesuffix("-1"))
        for release in releases
    ]
    found = dependencies(run)
    by_name = {(made["depName"], made["currentValue"]) for made in found}
    versions = {made["currentValue"] for made in found}
    for name, version in expected:
        assert (name, version) in by_name if name else version in versions, (name, version)
    assert len(found) == len(by_name) == len(expected) >= 28


def test_every_list_of_python_packages_is_seen() -> None:
    """config:recommended leaves out tests and examples; those of tests/fixtures go with an image.

    The first pattern is Renovate's own (lib/modules/manager/pip_requirements/index.ts).
    """
    patterns = [r"(^|/)[\w-]*requirements([-.]\w+)?\.(txt|pip)$"]
    patterns += [p.strip("/") for p in CONFIG["pip_requirements"]["managerFilePatterns"]]
    listed = subprocess.run(
        ["git", "ls-files", "*.txt", "*.in"], cwd=FILE.parent, capture_output=True, check=True
    ).stdout.decode()
    kept = [file for file in listed.splitlines() if not file.startswith("tests/fixtures/")]
    pinned = [f for f in kept if re.search(r"(?m)^[\w.\[\]-]+==", (FILE.parent / f).read_text())]
    assert {"requirements.in", "tests/requirements.txt", "toolchain/requirements-go.txt"} <= {
        *pinned
    }
    # What is built here has no list of packages but wheels' and Vault's (its contract.yaml).
    ours = ["images/from-packages/*/Dockerfile", "images/from-packages/vault/**"]
    assert CONFIG["ignorePaths"] == ["**/node_modules/**", "tests/fixtures/**", *ours]
    assert [f for f in pinned if not any(re2.search(p, f) for p in patterns)] == []


def test_each_is_looked_for_where_its_vendor_has_it() -> None:
    found = {(made["datasource"], made["depName"]): made for made in dependencies(by_re2)}
    known = {"docker", "github-releases", "deb"}
    known |= {f"custom.{name}" for name in CONFIG["customDatasources"]}
    assert {datasource for datasource, _ in found} == known
    assert found["deb", "docker-ce"]["registryUrl"] == (
        "https://download.docker.com/linux/ubuntu?suite=noble&components=stable&binaryArch=amd64"
    )
    assert found["github-releases", "hashicorp/vault"]["extractVersion"] == "^v(?<version>.+)$"
    assert {name for kind, name in found if kind == "deb"} == {
        "docker-ce",
        "containerd.io",
        "gitlab-ce",
        "gitlab-runner",
    }


def test_rules_are_for_what_is_there_and_their_versions_are_of_its_form() -> None:
    found = {made["depName"]: made for made in dependencies(by_re2)}
    links = {
        "ubuntu-24.04-standard": "ubuntu-24.04-standard_{}_amd64.tar.zst",
        "noble": "release-{}/",
        "nvidia-driver": "{}/",
    }
    for rule in CONFIG["packageRules"]:
        for name in rule.get("matchDepNames", ()):
            version = found[name]["currentValue"]
            if form := rule.get("versioning", "").removeprefix("regex:"):
                assert re2.search(form, version), (name, version)
            if inside := rule.get("extractVersion"):
                link = links[name].format(version)
                assert re2.search(inside, link).group("version") == version


def test_everything_else_of_a_vendor_s_page_is_no_version() -> None:
    """As html datasources give every link."""
    rules = {r["matchDepNames"][0]: r for r in CONFIG["packageRules"] if "extractVersion" in r}
    for name, link in {
        "ubuntu-24.04-standard": "ubuntu-24.10-standard_24.10-1_amd64.tar.zst",
        "noble": "release/",
        "nvidia-driver": "latest.txt",
    }.items():
        assert not re2.search(rules[name]["extractVersion"], link)


def test_a_major_of_what_holds_data_is_not_proposed() -> None:
    (rule,) = [r for r in CONFIG["packageRules"] if r.get("matchUpdateTypes") == ["major"]]
    assert rule["enabled"] is False
    assert {"docker.io/library/postgres", "docker.io/apache/kafka"} <= set(rule["matchDepNames"])
