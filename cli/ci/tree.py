"""The files as they will be once the merge request is in."""

import os
import subprocess
from collections.abc import Sequence

from cli.lib.fault import Fault
from toolchain.install import ROOT

# A merge needs an author; this one is never pushed.
NOBODY = ("-c", "user.name=datalab", "-c", "user.email=datalab@localhost")


def git(
    *words: str, options: Sequence[str] = (), secret: str | None = None, **variables: str
) -> str:
    """Output of git in the checkout, with more variables; Fault with what it says when it fails.

    secret is not said: it goes before the text is cut, where a half of it could be left.
    """
    done = subprocess.run(
        ["git", *options, *words],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        if secret:
            said = said.replace(secret, "***")
        raise Fault(f"git {words[0]}: {said[-500:]}")
    return done.stdout.strip()


def current() -> str:
    """The hash of the files of HEAD: the same before and after a merge that changes none."""
    return git("rev-parse", "HEAD^{tree}")


def merge(branch: str) -> str:
    """Put HEAD on top of the remote's `branch` and return that branch's commit.

    Without it a preview of a branch that is behind would show how to undo what main got since.
    """
    git("fetch", "--quiet", "origin", branch)
    base = git("rev-parse", "FETCH_HEAD")
    try:
        git("merge", "--quiet", "--no-edit", base, options=NOBODY)
    except Fault as fault:
        raise Fault(f"this branch conflicts with {branch}, rebase it: {fault}") from None
    return base
