"""A generic application: restore, remove and quickCheck, optionally recover, are commands of the lab (LKL-34)."""

from __future__ import annotations

from harness.core.errors import BadUse
from harness.lab.lifekeeper.config.stand_in_settings import Resource
from harness.lab.lifekeeper.resource_types.bounded_command import RanOut
from harness.lab.lifekeeper.resource_types.resource_type import Failed, Kind, ResourceContext, TimedOut

SCRIPTS = ("restore", "remove", "quickCheck", "recover")


class Gen(Kind):
    """Each parameter is an argv; `limits` may give seconds per script. Exit 0 is good. They find LK_TAG and LK_ID set."""

    takes = (*SCRIPTS, "limits")
    needs = ("restore", "remove", "quickCheck")

    def __init__(self, resource: Resource, context: ResourceContext) -> None:
        super().__init__(resource, context)
        for name in SCRIPTS:
            argv = self.parameter(name)
            if argv is not None and not (isinstance(argv, list) and argv and all(isinstance(word, str) for word in argv)):
                raise BadUse(f"resource {resource.tag}: {name} must be a list of words, the command and its arguments")
        limits = self.parameter("limits", {})
        if not isinstance(limits, dict) or not all(k in SCRIPTS and isinstance(v, int | float) and v > 0 for k, v in limits.items()):
            raise BadUse(f"resource {resource.tag}: limits must give seconds above 0 for some of {', '.join(SCRIPTS)}")
        self.has_recovery = self.parameter("recover") is not None

    def restore(self) -> None:
        """Runs the application's `restore` command; raises Failed."""
        self._script("restore")

    def remove(self) -> None:
        """Runs the application's `remove` command; raises Failed."""
        self._script("remove")

    def recover(self) -> None:
        self._script("recover")

    def quick_check(self) -> None:
        """Runs `quickCheck`; raises Failed, or TimedOut when it did not end in time."""
        try:
            self._run("quickCheck", self.context.config.timers.quick_check_limit_s, again=True)
        except RanOut as out:
            raise TimedOut(str(out)) from None

    def _script(self, name: str) -> None:
        try:
            self._run(name, self.context.config.timers.script_limit_s)
        except RanOut as out:
            raise Failed(str(out)) from None

    def _run(self, name: str, default_limit: float, *, again: bool = False) -> None:
        limit = self.parameter("limits", {}).get(name, default_limit)
        variables = {"LK_TAG": self.resource.tag, "LK_ID": self.resource.id}
        self.context.commands.run(self.parameter(name), limit, extra=variables, again=again)
