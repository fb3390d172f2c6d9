"""docs/resources.md and docs/images.md: what the program registers, and from what."""

from collections import Counter
from functools import cache
from itertools import pairwise
from pathlib import Path

from rehearsal.mocks import Deployed, Registered, deploy
from settings import ENVIRONMENTS
from settings.images import PATH, Download, catalogue
from settings.pins import providers, read
from settings.stackfile import read_config

# Settings that nobody changes for a lab of his own.
SAMPLES = Path(__file__).parent.parent / "tests/fixtures/stacks"
HEAD = "Made from the program by `python -m docs.generate`."


@cache
def registered(environment: str) -> dict[str, Deployed]:
    config = read_config(SAMPLES / f"Pulumi.{environment}.yaml")
    config["datalab:common"]["unpinned_downloads"] = "allow"
    return deploy(environment, config)


def page() -> str:
    """docs/resources.md."""
    lines = [
        "# Resources",
        "",
        HEAD,
        "",
        "What each layer registers with the settings of tests/fixtures/stacks, and which component "
        "needs which. A solid arrow is a dependency that the engine knows within a layer; values "
        "go from layer to layer as stack outputs.",
    ]
    for environment in ENVIRONMENTS:
        lines += ["", f"## `{environment}`", "", *_diagram(environment), "", *_table(environment)]
    return "\n".join(lines) + "\n"


def _diagram(environment: str) -> list[str]:
    lines = ["```mermaid", "flowchart BT"]
    for layer, deployed in registered(environment).items():
        owner = _owners(deployed)
        parts = sorted({name for name in owner.values() if name})
        lines.append(f"  subgraph {layer}")
        # Without GitLab the platform of `dev` is the local engine, which is there already.
        lines += [
            f"    {layer}-{name.replace(' ', '-')}[{name}]"
            for name in parts or ["nothing of its own"]
        ]
        lines.append("  end")
        lines += [f"  {layer}-{a} --> {layer}-{b}" for a, b in _edges(deployed, owner)]
    layers = list(registered(environment))
    lines += [f"  {upper} ==> {lower}" for lower, upper in pairwise(layers)]
    return [*lines, "```"]


def _owners(deployed: Deployed) -> dict[str, str]:
    """URN of a resource -> the outermost component that it stands under; empty for none."""
    by_urn = {r.urn: r for r in deployed.resources}

    def outermost(resource: Registered) -> str:
        above = by_urn.get(resource.parent)
        if above is not None:
            return outermost(above)
        return "" if resource.custom else resource.name

    return {urn: outermost(resource) for urn, resource in by_urn.items()}


def _edges(deployed: Deployed, owner: dict[str, str]) -> list[tuple[str, str]]:
    by_urn = {r.urn: r for r in deployed.resources}

    def needs(resource: Registered) -> set[str]:
        # A provider belongs to nobody: what it waits for, its resources wait for.
        provider = by_urn.get(resource.provider.rpartition("::")[0])
        return {*resource.dependencies, *(needs(provider) if provider else ())}

    found = {
        (owner[resource.urn], owner[urn])
        for resource in deployed.resources
        for urn in needs(resource)
        if urn in owner
    }
    return sorted((a, b) for a, b in found if a and b and a != b)


def _table(environment: str) -> list[str]:
    lines = ["| layer | type | number |", "| --- | --- | ---: |"]
    for layer, deployed in registered(environment).items():
        counted = Counter(r.type for r in deployed.resources if r.custom)
        lines += [f"| {layer} | `{type_}` | {n} |" for type_, n in sorted(counted.items())]
    return lines


def images() -> str:
    """docs/images.md."""
    found, known = catalogue(), read(PATH)
    lines = [
        "# Images and downloads",
        "",
        f"{HEAD} Versions stand in `images.yaml`, what they must be in `images.sum`, which "
        "`./lab pin` writes. Where a vendor signs its list of sums, the list counts when the key "
        "of this fingerprint signed it; where it only publishes one, TLS is all there is.",
        "",
        "| image | reference | digest |",
        "| --- | --- | --- |",
    ]
    for name, image in sorted(found.images.items()):
        lines.append(f"| {name} | `{image.name}` | {_known(known.get(image.name))} |")
    head = ["| download | version | SHA-256 | from |", "| --- | --- | --- | --- |"]
    lines += ["", *head]
    for name, download in sorted(found.downloads.items()):
        lines.append(
            f"| [{name}]({download.file.url}) | {download.version} "
            f"| {_known(known.get(download.file.url))} | {_source(download)} |"
        )
    lines += ["", "| plugin | version | SHA-256 |", "| --- | --- | --- |"]
    for plugin in sorted(providers(), key=lambda plugin: plugin.name):
        sha256 = _known(known.get(plugin.url))
        lines.append(f"| [{plugin.name}]({plugin.url}) | {plugin.version} | {sha256} |")
    lines += ["", "| repository | key | packages |", "| --- | --- | --- |"]
    for name, repository in sorted(found.repositories.items()):
        packages = ", ".join(f"{package} {v}" for package, v in repository.packages.items())
        lines.append(
            f"| [{name}]({repository.url}) | `{repository.key_fingerprint}` | {packages} |"
        )
    return "\n".join(lines) + "\n"


def _known(sha256: str | None) -> str:
    return f"`{sha256}`" if sha256 else "not known yet"


def _source(download: Download) -> str:
    if download.signature:
        return f"the vendor's list, signed by `{download.signature.key_fingerprint}`"
    return "the vendor's list" if download.sums else "the file itself"
