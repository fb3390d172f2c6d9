"""A model that Ollama has on its disk."""

import json
import os
import ssl
import time

import httpx

from provision.faults import Fault
from provision.specs import Ollama
from provision.vault import Vault

ADMIN_PATH = "infra/provision/ollama"
ATTEMPTS = 3
PROGRESS_SECONDS = 10
# Between two lines of a pull; Ollama writes several a second while it downloads or verifies.
SILENCE_SECONDS = 300


def provision(spec: Ollama, project: str, vault: Vault) -> list[str]:
    """As `ensure`, for a project: records the address, and the name that Ollama lists."""
    url = vault.require(ADMIN_PATH)["url"]
    listed, done = _ensured(spec, url)
    vault.write(
        f"projects/{project}/ollama/{spec.name}",
        {"OLLAMA_HOST": url, "OLLAMA_MODEL": listed},
    )
    return done


def ensure(spec: Ollama, url: str) -> list[str]:
    """Pull the model unless it is there; progress goes to stdout. Returns what was done."""
    return _ensured(spec, url)[1]


def _ensured(spec: Ollama, url: str) -> tuple[str, list[str]]:
    with _client(url) as client:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                if listed := _listed(client, spec):
                    return listed, []
                _pull(client, spec.name)
                if listed := _listed(client, spec):
                    return listed, [f"pulled {spec.name}"]
                raise Fault(f"Ollama said that it pulled {spec.name}, but does not list it")
            except (httpx.HTTPError, ValueError) as error:
                if attempt == ATTEMPTS or isinstance(error, httpx.HTTPStatusError):
                    raise Fault(
                        f"Ollama at {url} failed: {error or type(error).__name__}"
                    ) from error
                print(
                    f"pull was interrupted ({type(error).__name__}); Ollama resumes it", flush=True
                )
                time.sleep(attempt)
    raise AssertionError("unreachable")


def _client(url: str) -> httpx.Client:
    """A client of `url`; it connects to OLLAMA_ADDRESS where no DNS server knows the host."""
    target, address = httpx.URL(url), os.environ.get("OLLAMA_ADDRESS", "")
    named = {"Host": target.netloc.decode(), "sni": target.host}

    def as_named(request: httpx.Request) -> None:
        request.headers["Host"] = named["Host"]
        request.extensions["sni_hostname"] = named["sni"]

    return httpx.Client(
        base_url=target.copy_with(host=address) if address else target,
        timeout=httpx.Timeout(30, read=SILENCE_SECONDS),
        # Ollama answers from the lab's own network: a proxy of the job is not meant for it.
        trust_env=False,
        # The system's trust, with SSL_CERT_FILE in its place where that is set.
        verify=ssl.create_default_context(),
        event_hooks={"request": [as_named] if address else []},
    )


def _listed(client: httpx.Client, spec: Ollama) -> str | None:
    """The model's name in Ollama's list. To Ollama, names that differ in case only are one."""
    answer = client.get("/api/tags").raise_for_status()
    try:
        names = [str(model["name"]) for model in answer.json()["models"]]
    except (ValueError, KeyError, TypeError) as error:
        raise Fault(f"what answers at {answer.url} is not Ollama, but a page or a proxy") from error
    return next((name for name in names if name.casefold() == spec.listed.casefold()), None)


def _pull(client: httpx.Client, model: str) -> None:
    """The answer is 200 before the pull has begun: its failure is a line of the stream."""
    told = 0.0
    with client.stream("POST", "/api/pull", json={"model": model}) as answer:
        answer.raise_for_status()
        for line in answer.iter_lines():
            event = json.loads(line)
            if not isinstance(event, dict):
                raise Fault(f"what answers at {answer.url} is not Ollama")
            if "error" in event:
                raise Fault(f"Ollama cannot pull {model}: {event['error']}")
            if event.get("status") == "success":
                return
            if time.monotonic() - told >= PROGRESS_SECONDS:
                told = time.monotonic()
                share = event.get("completed", 0) / (event.get("total") or 1)
                print(f"{model}: {event.get('status', '')} {share:.0%}", flush=True)
    raise httpx.RemoteProtocolError("the stream ended before the pull did")
