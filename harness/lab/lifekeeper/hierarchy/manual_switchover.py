"""perform_action: in and out of service by hand, across both nodes (LKL-28 to LKL-31)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from harness.lab.lifekeeper.comm.comm_paths import Comm, NoContact
from harness.lab.lifekeeper.hierarchy.hierarchy_engine import Busy, Engine, Refused


class Switching:
    """`claims` are the tags that this node is bringing in service right now; every heartbeat tells the peer."""

    def __init__(self, engine: Engine, comm: Comm) -> None:
        self.engine, self.comm = engine, comm
        self.claims: set[str] = set()

    def restore(self, tag: str, *, only: bool) -> None:
        """Remove on the other node first, then restore here (LKL-29). Raises Refused or Busy."""
        scope = {tag} if only else self.engine.tree.hierarchy(tag)
        with self.engine.action("restore", tag), self.claiming(scope):
            if self.comm.contact():
                self._remove_on_peer(tag, scope, only)
            self.engine.restore(scope)

    def remove(self, tag: str, *, only: bool) -> None:
        """Out of service here, with everything above unless `only`; nothing is started elsewhere (LKL-30)."""
        with self.engine.action("remove", tag):
            self.engine.remove({tag} if only else self.engine.tree.above([tag]))

    def _remove_on_peer(self, tag: str, scope: set[str], only: bool) -> None:
        peer = self.engine.config.peer
        try:
            answer = self.comm.call("remove", tag=tag, tags=sorted(scope), only=only)
        except NoContact as lost:
            raise Refused(f"{tag} could not be taken out of service on {peer} first: {lost}") from lost
        if "error" in answer:
            raise Refused(f"{tag} could not be taken out of service on {peer} first: {answer['error']}")

    def removed_for_peer(self, args: dict[str, Any]) -> dict[str, Any]:
        """The peer restores these tags: take them out of service here, with what is above them."""
        known_tags = [tag for tag in args["tags"] if tag in self.engine.tree.resources]
        scope = set(known_tags) if args["only"] else self.engine.tree.above(known_tags)
        limit = self.engine.config.timers.peer_action_wait_s
        try:
            with self.engine.action("remove", args["tag"], by=self.engine.config.peer, limit=limit):
                self.engine.remove({tag for tag in scope if self.engine.store.in_service(tag)})
        except (Refused, Busy) as error:
            return {"error": str(error)}
        return {"ok": True}

    @contextmanager
    def claiming(self, tags: set[str]) -> Iterator[None]:
        """While the block runs these resources are being moved by hand, and lkcheck leaves them alone."""
        self.claims = set(tags)
        try:
            yield
        finally:
            self.claims = set()
