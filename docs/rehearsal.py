"""docs/rehearsal.md: what the rehearsal is, and everything that it refuses."""

from rehearsal.refusals import table

HEAD = """# What the rehearsal refuses

Made from rehearsal/refusals.yaml by `python -m docs.generate`.

`./lab rehearse` runs the real program on the real Pulumi engine over a simulated world.
It refuses what real providers and their APIs refuse, in their words. *check* is found
before anything is called, so in a preview too; *apply* is the API's own answer.

What a simulator can only claim, two real providers are asked: tests/engine/test_real_docker.py
brings `dev` up on a real engine, test_real_proxmox.py layers 1 and 2 of `lab` on a node that checks
calls by PVE's schema; after both, nothing is left to do there.

What does not fit (memory, cores, disk, GPUs, addresses, cron lines) the settings refuse, so it is
not simulated again.

When all layers are up, the rehearsal goes on to the day on which the next token falls due: `up` has
to renew it in place, and to leave nothing else to do.

`./lab rehearse ENV --from REF` shows what this checkout does to a lab that stands: it
brings the lab up by the program and settings of that commit (with the Python packages of
now), applies the checkout, uncommitted changes included, and lists each resource that is
created, updated, replaced or deleted, by layer; the last line counts them. `--json` has
the same as data. `--fail` and `--kill-at` then act on the checkout's `up`. Exit code 0
says that the checkout came up and left nothing to do, whatever it changed; 1 that it did
not; 2 that there is no such commit, or no git.

`./lab rehearse ENV --set KEY=VALUE` does the same for a setting, which may be given several times
and together with `--from`: the lab comes up by the settings as they are, and then gets the edited
ones. KEY is a dotted key of the settings' file, VALUE is read as YAML, and `null` takes an
entry away that a map has by default. The file itself stays as it is.

Both end with what it means to those who use the lab, as the note of a merge request does:

- the machines that reboot, and those whose roles run again;
- the services whose containers are replaced, in their order, and how long each takes at most: the
  time that it has to stop, and that `up` waits for it to answer (downloads come before);
- the data that is kept, replaced and deleted: volumes, databases, buckets, machines' disks, and
  what GitLab and Vault hold.

`--keep` leaves the simulated lab in its folder. `pulumi preview` works there, also after an edit of
the settings' file in it; `pulumi up` is refused.

`--fail TYPE=NAME` names a resource that the program makes; another one is refused before anything
starts. What is left in the temporary folder is removed, after a failure too, unless `--keep` is
given; a rehearsal that was killed outright is cleared away by the next.

| what | when | reason | source |
| --- | --- | --- | --- |
"""


def page() -> str:
    """docs/rehearsal.md."""
    lines = []
    for refusal in table().values():
        reason = refusal.reason.replace("{{", "{").replace("}}", "}").replace("|", "\\|")
        lines.append(f"| `{refusal.id}` | {refusal.when} | {reason} | {refusal.source} |\n")
    return HEAD + "".join(lines)
