"""Shows what changed and what failed; a failure names the machine, the role and the task."""

import gc

from ansible import constants as C
from ansible import context
from ansible.playbook.task_include import TaskInclude
from ansible.plugins.callback.default import CallbackModule as Default

DOCUMENTATION = """
name: datalab
type: stdout
short_description: What changed and what failed, and where
description:
  - The default output without the tasks that had nothing to do. In check mode what would change
    is listed once more at the end, by name only (cli/lib/ansible.py reads that).
extends_documentation_fragment:
  - default_callback
  - result_format_callback
"""

# A run lasts seconds, and each task is a process that begins as a copy of this one: looking for
# garbage writes to all of the memory that they share, which was a fifth of a run's processor time.
gc.disable()


class CallbackModule(Default):
    """The default callback, quiet about what is as it should be."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "datalab"

    def set_options(self, task_keys=None, var_options=None, direct=None):  # type: ignore[no-untyped-def]
        super().set_options(task_keys=task_keys, var_options=var_options, direct=direct)
        self.set_option("display_ok_hosts", False)
        self.set_option("display_skipped_hosts", False)
        self._differences: list[str] = []
        self._failures: list[str] = []

    def v2_playbook_on_include(self, included_file):  # type: ignore[no-untyped-def]
        """Nothing: the tasks in it speak for themselves."""

    def v2_runner_on_ok(self, result):  # type: ignore[no-untyped-def]
        if not isinstance(result.task, TaskInclude):
            super().v2_runner_on_ok(result)
            if result.is_changed():
                self._differences.append(f"DIFFERS {_place(result)}")

    def v2_runner_on_failed(self, result, ignore_errors=False):  # type: ignore[no-untyped-def]
        super().v2_runner_on_failed(result, ignore_errors)
        if not ignore_errors:
            self._failures.append(f"FAILED {_place(result)}: {_reason(result)}")

    def v2_runner_on_unreachable(self, result):  # type: ignore[no-untyped-def]
        super().v2_runner_on_unreachable(result)
        self._failures.append(f"FAILED {_place(result)}: {_reason(result)}")

    def v2_playbook_on_stats(self, stats):  # type: ignore[no-untyped-def]
        for host in sorted(stats.processed):
            summary = stats.summarize(host)
            self._display.display(
                f"machine {host}: {summary['ok']} tasks, {summary['changed']} changed"
            )
        if context.CLIARGS.get("check"):
            for difference in self._differences:
                self._display.display(difference)
        for failure in self._failures:
            self._display.display(failure, color=C.COLOR_ERROR, stderr=True)


def _place(result) -> str:  # type: ignore[no-untyped-def]
    role = getattr(result.task, "_role", None)
    where = f"role {role.get_name()}" if role else "playbook machine.yml"
    return f"machine {result.host.get_name()}, {where}, task {result.task_name!r}"


def _reason(result) -> str:  # type: ignore[no-untyped-def]
    data = result.result
    if data.get("censored"):
        return "its output is hidden, as it may hold secrets; see the machine's journal"
    items = [item for item in data.get("results", ()) if item.get("failed")]
    data = items[0] if items else data
    words = [str(data[key]).strip() for key in ("msg", "stderr") if data.get(key)]
    words += data.get("argument_errors", ())
    # On one line, without the frame that ssh draws around its warnings.
    text = " ".join(" ".join(words).replace("@", "").split()) or "no reason given"
    if "Host key verification failed" in text or "HOST IDENTIFICATION HAS CHANGED" in text:
        text += " | The machine's host key is not the one of its first contact; docs/machines.md."
    return text
