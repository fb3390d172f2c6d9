"""docs/security.md: who reaches what with which credential, from the program itself."""

from collections.abc import Iterator

from docs.resources import registered
from settings.names import ROWS, endpoints

# Name -> why it gives what it has to everybody who reaches it. A test holds the list closed.
OPEN = {
    "cache": "Packages that anybody can have from where they come from; it takes nothing in.",
    "gateway": "The start page has names, links, versions and states of services, and the "
    "certificate of the CA; nothing else.",
    "kafka": "Not on purpose: it knows no logins yet. A neighbour reads and writes every topic.",
    "lake-writer": "Its page says how far it has come.",
    "model-server": "Applications call it, and any neighbour may ask for a prediction.",
    "ollama": "Applications call it; any neighbour may use its models, pull or remove one.",
    "web": "A page for visitors.",
}
HEAD = """# Security

Made from the program by `python -m docs.generate`; `tests/security/` attacks what it says.

## Who reaches what

In `lab` everything that has an address is open to the whole network of the house, so the credential
is what keeps a neighbour out. In `dev` the ports below are those of the machine's own loopback
address, unless `common.target.address` says otherwise.
"""
PEOPLE = """## Who can do what

**A neighbour on the network** reaches the ports above, and what is open there. GitLab lets nobody
sign up, shows nothing without a login, and tells nobody outside about the lab
(`layers/platform/files/gitlab/application-settings.yaml`).

**A job of any project** runs as root in a container without new privileges; in `lab` in a network
of its own, and in [a slice with all other jobs](ci.md#where-jobs-run). It reaches what a neighbour
reaches, and in Vault what its project may. Jobs share one Docker engine, and its images with it: a
job that names the image of another, private project runs it while it is there, until it is a day
old and the night comes.

**A developer of the lab's project** can push a branch, and so has what the role `ci-preview` gives,
the secrets that a preview needs. Only those who may push to `main` deploy.

**A user of MLflow** reads every experiment and model, and changes what that user made. Only the
administrator makes users. Artifacts are in MLflow's own store: it takes no other address, a file of
its own machine least of all. The model server reads as a user of its own; what the aliases that it
serves point to runs as code there, so anyone who may log a model may run code in that container.

**An administrator** has `./lab logins`. The foundation's state with its passphrase opens
everything.

**The Docker engine's key** is root on the Docker host. The state, GitLab's runner and Portainer
have it, and nothing else. In `dev` these two have the machine's own Docker socket.
"""
CONTAINERS = """## What is left to somebody who breaks into a container

No container is privileged, and no program gains rights by its setuid bit. Of the capabilities that
Docker gives to root each keeps these. "Docker's own" is where nobody could try less: GitLab's
package runs some twenty programs as as many users, Ollama drives GPUs, and the runner and Portainer
have the engine anyway. A root is not read-only where the program puts files in, as an engine
refuses them. Nothing limits the number of a container's processes: the provider (pulumi-docker
5.2.0) has no such argument. For jobs the slice does.
"""
AUTHORITY = """## The certificate authority

Everything that trusts the lab trusts its CA for every name: it has
[no name constraints](decisions/ca-without-name-constraints.md). Its key is in the foundation's
state and nowhere else.
"""


def page() -> str:
    """docs/security.md."""
    parts = (HEAD, _reached(), _open(), PEOPLE, _jobs(), CONTAINERS, _containers(), AUTHORITY)
    return "\n".join(parts)


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _reached() -> str:
    places = {kind: endpoints(registered(kind)["foundation"].settings) for kind in ("lab", "dev")}

    def where(kind: str, name: str) -> str:
        found, row = places[kind].get(name), ROWS[name]
        if found is None or not (row.published(docker=kind == "dev") or row.exposure == "gateway"):
            return ""
        return found.url if found.scheme in ("http", "https") else f"{found.netloc}"

    rows = (
        (
            f"`{name}`",
            where("lab", name),
            where("dev", name),
            row.listener.credential or "**nothing**",
        )
        for name, row in ROWS.items()
    )
    return _table(("name", "in `lab`", "in `dev`", "asks for"), rows)


def _open() -> str:
    rows = (
        (f"`{name}`", OPEN.get(name, "Nobody has said why."))
        for name, row in ROWS.items()
        if not row.listener.credential
    )
    return f"What asks for nothing, and why:\n\n{_table(('name', 'why'), rows)}"


def _jobs() -> str:
    def rows() -> Iterator[tuple[str, ...]]:
        for made in registered("lab")["services"].all("AuthBackendRole"):
            claims = made.inputs.get("boundClaims") or {}
            own = {**claims, "project_id": "the lab's own"} if "project_id" in claims else claims
            said = "; ".join(f"{claim}: {value}" for claim, value in sorted(own.items()))
            policies = ", ".join(f"`{policy}`" for policy in made.inputs["tokenPolicies"])
            name = f"`{made.inputs['roleName']}`"
            yield name, policies, said.replace(",", ", ") or "those of any job"

    text = "What a job's ID token opens in Vault (`layers/services/files/vault` has the policies):"
    head = ("role", "policies", "claims that the token must have")
    return f"{text}\n\n{_table(head, iter(sorted(rows())))}"


def _containers() -> str:
    def rows() -> Iterator[tuple[str, ...]]:
        for layer in registered("dev").values():
            for made in layer.all("docker:index/container:Container"):
                kept = made.inputs.get("capabilities")
                caps = [cap.removeprefix("CAP_") for cap in (kept or {}).get("adds", [])]
                says = "Docker's own" if kept is None else ", ".join(caps) or "none"
                root = "read-only" if made.inputs.get("readOnly") else ""
                yield (f"`{made.name.removesuffix('-container')}`", says, root)

    return _table(("container", "keeps", "its root"), iter(sorted(rows())))
