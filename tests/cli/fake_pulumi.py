"""Stands in for the `pulumi` executable where the engine is not the point.

Keeps stacks per backend in $FAKE_PULUMI/state.json, appends what it was given to calls.jsonl, and
fails where $FAKE_PULUMI/fail holds the start of its command line.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

WATCHED = ("PULUMI_BACKEND_URL", "PULUMI_CONFIG_PASSPHRASE", "AWS_SHARED_CREDENTIALS_FILE")


def value_of(words: list[str], option: str) -> str:
    """The word after `option`."""
    return words[words.index(option) + 1]


def main(words: list[str]) -> int:
    """Answer one command."""
    folder = Path(os.environ["FAKE_PULUMI"])
    line = " ".join(words)
    reads = words[:2] == ["stack", "import"] or words[:2] == ["config", "set"]
    text = sys.stdin.read() if reads else ""
    call = {"line": line, "stdin": text, "env": {n: os.environ.get(n) for n in WATCHED}}
    with (folder / "calls.jsonl").open("a") as calls:
        calls.write(json.dumps(call) + "\n")
    fail = folder / "fail"
    if fail.exists() and line.startswith(fail.read_text()):
        print("error: told to fail", file=sys.stderr)
        return 255
    file = folder / "state.json"
    backends: dict[str, dict[str, Any]] = json.loads(file.read_text()) if file.exists() else {}
    stacks = backends.setdefault(os.environ["PULUMI_BACKEND_URL"], {})
    answer(words, stacks, text)
    file.write_text(json.dumps(backends))
    return 0


def stack_file(stack: str) -> Path:
    """The stack's settings, in the checkout or in the folder of `stackConfigDir`."""
    own, linked = Path(f"Pulumi.{stack}.yaml"), Path(f"stacks/Pulumi.{stack}.yaml")
    return linked if linked.is_symlink() else own


def answer(words: list[str], stacks: dict[str, Any], text: str) -> None:
    """What each command prints and changes."""
    match words[:2]:
        case ["stack", "ls"]:
            print(json.dumps([{"name": n, "resourceCount": len(r)} for n, r in stacks.items()]))
        case ["stack", "init"]:
            stacks[words[2]] = []
            settings = stack_file(words[2])
            if "encryptionsalt" not in (old := settings.read_text()):
                settings.write_text(f"encryptionsalt: v1:salt:v1:proof\n{old.removeprefix('{}')}")
        case ["config", "set"]:
            settings = stack_file(value_of(words, "-s"))
            sealed = f"config:\n  {words[3]}:\n    secure: v1:nonce:cipher\n"
            settings.write_text(sealed + settings.read_text())
        case ["stack", "export"]:
            resources = stacks[value_of(words, "-s")]
            print(json.dumps({"version": 3, "deployment": {"resources": resources}}))
        case ["stack", "import"]:
            stacks[value_of(words, "-s")] = json.loads(text)["deployment"]["resources"]
        case ["stack", "output"]:
            print(Path(os.environ["FAKE_PULUMI"], "outputs.json").read_text())
        case ["preview", _] if "--json" in words:
            print(Path(os.environ["FAKE_PULUMI"], "preview.json").read_text())
        case ["up", _]:
            stack = value_of(words, "-s")
            stacks[stack] = [{"urn": f"urn:{stack}", "id": "1", "type": "t"}]
        case ["destroy", _]:
            stacks[value_of(words, "-s")] = []
        case _:
            pass


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
