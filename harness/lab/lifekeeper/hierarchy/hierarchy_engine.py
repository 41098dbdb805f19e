"""Moves resources of this node in and out of service, exactly one action at a time (the `!action!` flag, LKL-23)."""

from __future__ import annotations

import os
import threading
import time
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from harness.lab.lifekeeper.config.stand_in_settings import Config
from harness.lab.lifekeeper.hierarchy.dependency_runner import in_order
from harness.lab.lifekeeper.hierarchy.resource_tree import Tree
from harness.lab.lifekeeper.hierarchy.state_store import Store
from harness.lab.lifekeeper.log import Code, Journal, Log
from harness.lab.lifekeeper.resource_types.resource_type import Failed, Kind


class Busy(Exception):
    """Another action did not end in time; the message names it."""


class Refused(Exception):
    """The action could not be done; the message says why."""


class Overtaken(Exception):
    """An action came in between, so what led to this one may no longer hold."""


class Engine:
    """`epoch` changes whenever an action begins or ends, so that a check that overlapped one can be told."""

    def __init__(self, config: Config, tree: Tree, store: Store, kinds: dict[str, Kind], log: Log, journal: Journal) -> None:
        self.config, self.tree, self.store, self.kinds = config, tree, store, kinds
        self.log, self.journal = log, journal
        self.epoch = 0
        self._lock = threading.Lock()
        self._doing = ""

    @contextmanager
    def action(
        self, what: str, tag: str, *, by: str | None = None, limit: float | None = None, if_epoch: int | None = None
    ) -> Iterator[None]:
        """Hold the action lock; `by` is the node that asked. Raises Busy after `limit` seconds (timers.action_wait_s).

        With `if_epoch` it raises Overtaken when an action has begun or ended since.
        """
        limit = self.config.timers.action_wait_s if limit is None else limit
        by = by or self.config.node
        if not self._lock.acquire(timeout=limit):
            message = f"{what} of {tag} was not begun: {self._doing or 'another action'} has not ended within {limit:g} s; try again later"
            self.log.write(Code.ACTION_BUSY, message, program="perform_action", action=what, tag=tag)
            raise Busy(message)
        if if_epoch not in (None, self.epoch):
            self._lock.release()
            raise Overtaken
        flag = f"!action!{os.getpid():05d}!{int(time.time())}!{by}:{what.capitalize()}_hierarchy"
        began = time.monotonic()
        self._doing = f"{what} of {tag} (by {by})"
        try:
            self.epoch += 1
            self.store.create_flag(flag)
            self.log.write(Code.ACTION_BEGUN, f"{what} begins, asked for by {by}", program="perform_action", action=what, tag=tag)
            self.journal.note("action-begun", action=what, tag=tag, by=by)
            yield
        except BaseException as error:
            self._ended(what, tag, by, began, str(error) or type(error).__name__)
            raise
        else:
            self._ended(what, tag, by, began, None)
        finally:
            self.store.remove_flag(flag)
            self._doing = ""
            self.epoch += 1
            self._lock.release()

    def _ended(self, what: str, tag: str, by: str, began: float, failure: str | None) -> None:
        seconds = time.monotonic() - began
        self.journal.note("action-ended", action=what, tag=tag, by=by, ok=failure is None, seconds=round(seconds, 6), reason=failure or "")
        code, text = (Code.ACTION_DONE, "done") if failure is None else (Code.ACTION_FAILED, f"failed: {failure}")
        self.log.write(code, f"{what} {text} after {seconds:.3f} s", program="perform_action", action=what, tag=tag)

    def restore(self, tags: Iterable[str]) -> None:
        """Bring the tags in service, children before parents; what is already ISP stays as it is. Raises Refused at a failure."""
        todo = [tag for tag in self.tree.children_first() if tag in set(tags) and self.store.state(tag) != "ISP"]
        succeeded = in_order(todo, self.tree.children, self._restore_one, parallel=self.config.unknowns.parallel)
        self._demand_all("restore", todo, succeeded)

    def remove(self, tags: Iterable[str]) -> None:
        """Take the tags out of service from the top down. Raises Refused at a failure."""
        wanted = set(tags)
        for tag in wanted:
            if self.store.state(tag) == "OSF" and "remove" in self.config.unknowns.osf_cleared_by:
                self.store.set_state(tag, "OSU", "the failure was cleared by a remove action")
        todo = [tag for tag in reversed(self.tree.children_first()) if tag in wanted and self.store.in_service(tag)]
        done = in_order(todo, self.tree.parents.__getitem__, self._remove_one, parallel=self.config.unknowns.parallel)
        self._demand_all("remove", todo, done)

    def _demand_all(self, what: str, todo: list[str], done: set[str]) -> None:
        left = [tag for tag in todo if tag not in done]
        if left:
            failed = [tag for tag in left if f"{what} action has failed" in self.store.reason(tag)] or left
            raise Refused(f"{what} of {failed[0]} failed: {self.store.reason(failed[0])}")

    def _restore_one(self, tag: str) -> bool:
        failure = self._try(tag, "restore")
        if failure is None:
            self.store.set_state(tag, "ISP", "restore action has succeeded")
            return True
        self.store.set_state(tag, "OSF", f"restore action has failed: {failure}")
        self._log_failure(Code.RESTORE_FAILED, tag, "restore", failure)
        return False

    def _remove_one(self, tag: str) -> bool:
        failure = self._try(tag, "remove")
        if failure is None:
            self.store.set_state(tag, "OSU", "remove action has succeeded")
            return True
        # It may well still run, so it stays in service.
        self.store.set_state(tag, self.store.state(tag), f"remove action has failed: {failure}")
        self._log_failure(Code.REMOVE_FAILED, tag, "remove", failure)
        return False

    def _try(self, tag: str, what: str) -> str | None:
        """Run one method of a kind; None when it went well, else the reason."""
        self.journal.note("script-begun", action=what, tag=tag)
        failure: str | None
        try:
            getattr(self.kinds[tag], what)()
            failure = None
        except Failed as failed:
            failure = str(failed)
        except Exception as error:
            self.log.write(Code.INTERNAL, traceback.format_exc(), program=what, tag=tag)
            failure = f"the stand-in itself failed: {error!r}"
        self.journal.note("script-ended", action=what, tag=tag, ok=failure is None, reason=failure or "")
        return failure

    def recover_one(self, tag: str) -> str | None:
        """Local recovery of one resource (LKL-42); None when it went well, else the reason."""
        return self._try(tag, "recover")

    def _log_failure(self, code: Code, tag: str, what: str, failure: str) -> None:
        self.log.write(code, failure, program=what, kit=self.tree.resources[tag].kind, action=what, tag=tag)
