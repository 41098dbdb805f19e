"""What each command does, seen from the daemon: words in, exit code and text out (exit codes: LKL-24)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from harness.lab.lifekeeper.comm.comm_paths import NoContact
from harness.lab.lifekeeper.commands import command_options, daemon_view, lcdstatus
from harness.lab.lifekeeper.hierarchy.hierarchy_engine import Busy, Refused
from harness.lab.lifekeeper.hierarchy.state_store import PAUSED
from harness.lab.lifekeeper.log import Code
from harness.lab.lifekeeper.node import Node

DONE, SYNTAX, ALREADY_EXISTS, ILLEGAL, DOES_NOT_EXIST, NO_CONTACT = 0, 2, 4, 5, 7, 9
NOT_REMOTE = ("perform_action", "ins_setstate", "lk_confirmso", "lkstop")


@dataclass(frozen=True)
class Result:
    """What a command ends with: its exit code and what it prints."""

    exit: int
    out: str = ""
    err: str = ""


class Commands:
    """The commands of LKROOT/bin as the daemon carries them out, one method each."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self._do: dict[str, Callable[[dict[str, str]], Result]] = {
            "lcdstatus": self._lcdstatus,
            "perform_action": self._perform_action,
            "ins_list": self._ins_list,
            "eqv_list": self._eqv_list,
            "dep_list": self._dep_list,
            "flg_list": lambda _: Result(DONE, "".join(f"{flag}\n" for flag in node.store.flags())),
            "flg_test": self._flg_test,
            "flg_create": self._flg_create,
            "flg_remove": self._flg_remove,
            "ins_setstate": self._ins_setstate,
            "lk_confirmso": self._lk_confirmso,
            "lcduname": lambda _: Result(DONE, f"{node.config.node}\n"),
            "lkpolicy": lambda _: Result(DONE, "".join(f"{line}\n" for line in node.config.unknowns.lkpolicy_prints)),
            "lkstop": self._lkstop,
        }
        node.remote_command = self._for_peer

    def carry_out(self, argv: list[str]) -> Result:
        """Run one command here, or on the peer when -d names it."""
        command, words = argv[0], argv[1:]
        if argv == [daemon_view.ASKED_AS]:
            return Result(DONE, json.dumps(daemon_view.view(self.node)))
        if command not in self._do:
            return Result(SYNTAX, "", f"{command}: not modelled by this stand-in\n")
        try:
            options = command_options.parse(command, words)
        except command_options.Usage as usage:
            return Result(SYNTAX, "", f"{command}: {usage}\n")
        destination = options.get("d", self.node.config.node)
        return self._do[command](options) if destination == self.node.config.node else self._on_peer(destination, argv)

    def _on_peer(self, destination: str, argv: list[str]) -> Result:
        """Over the best path (LKL-26, LKL-37); exit 9 without contact (LKL-24, LKL-63)."""
        if destination != self.node.config.peer:
            return Result(NO_CONTACT, "", f"{argv[0]}: no contact with {destination}: it is not a node of this cluster\n")
        try:
            answer = self.node.comm.call("command", argv=argv)
        except NoContact as lost:
            return Result(NO_CONTACT, "", f"{argv[0]}: {lost}\n")
        return Result(answer["exit"], answer["out"], answer["err"])

    def _for_peer(self, argv: list[str]) -> dict:
        if argv[0] in NOT_REMOTE:
            return vars(Result(SYNTAX, "", f"{argv[0]}: is not done for another node\n"))
        return vars(self.carry_out(argv))

    def snapshot(self) -> lcdstatus.Snapshot:
        """Everything that lcdstatus prints, taken at one moment."""
        node = self.node
        views = [lcdstatus.PathView(p.ends.local, p.ends.peer, p.ends.priority, p.alive, p.comm_downs) for p in node.comm.paths]
        reasons = {tag: node.store.reason(tag) for tag in node.tree.resources}
        infos = {tag: kind.info() for tag, kind in node.kinds.items()}
        running = node.phase == "running"
        return lcdstatus.Snapshot(node.config, node.tree, node.store.states(), reasons, infos, node.store.flags(), views, running)

    def _lcdstatus(self, options: dict[str, str]) -> Result:
        root = options.get("r")
        if root is not None and root not in self.node.tree.roots:
            return Result(DOES_NOT_EXIST, "", f"lcdstatus: {root} is not the root of a hierarchy\n")
        if "u" in options and self.node.config.unknowns.lcdstatus_u == "refuse":
            return Result(SYNTAX, "", "lcdstatus: the meaning of -u is not known, and this stand-in is set to refuse it\n")
        snapshot = self.snapshot()
        if "q" in options or "e" in options:
            return Result(DONE, lcdstatus.short(snapshot, backup="e" in options, root=root))
        return Result(DONE, lcdstatus.long(snapshot, root))

    def _perform_action(self, options: dict[str, str]) -> Result:
        tag, action, only = options["t"], options["a"], "s" in options
        if tag not in self.node.tree.resources:
            return Result(DOES_NOT_EXIST, "", f"perform_action: there is no resource {tag}\n")
        if action not in ("restore", "remove"):
            return Result(ILLEGAL, "", f"perform_action: action {action} is not modelled; restore and remove are\n")
        unknowns = self.node.config.unknowns
        if self.node.phase == "stopping":
            return Result(unknowns.perform_action_failure_exit, "", f"perform_action: {self.node.config.node} is stopping\n")
        if action == "restore" and self.node.quorum and self.node.quorum.lost:
            return Result(unknowns.perform_action_failure_exit, "", f"perform_action: {self.node.config.node} has no majority\n")
        if action == "restore" and self.node.store.has_flag(PAUSED):
            return Result(unknowns.perform_action_failure_exit, "", f"perform_action: {self.node.config.node} is paused (WCLU-66)\n")
        began = time.monotonic()
        try:
            (self.node.switching.restore if action == "restore" else self.node.switching.remove)(tag, only=only)
        except (Refused, Busy) as error:
            return Result(unknowns.perform_action_failure_exit, "", f"perform_action: {action} of {tag} failed: {error}\n")
        message = f"{action} of {tag} on {self.node.config.node} done in {time.monotonic() - began:.3f} s (stand-in)\n"
        return Result(DONE, message if unknowns.perform_action_prints else "")

    def _ins_list(self, given: dict[str, str]) -> Result:
        node, unknowns = self.node, self.node.config.unknowns
        if "t" in given and given["t"] not in node.tree.resources:
            return Result(DOES_NOT_EXIST, "", f"ins_list: there is no resource {given['t']}\n")
        if "R" in given and given["R"] not in node.tree.resources:
            return Result(DOES_NOT_EXIST, "", f"ins_list: there is no resource {given['R']}\n")
        wanted = node.tree.below([given["R"]]) if "R" in given else set(node.tree.resources)
        rows = []
        for r in node.config.resources:
            asked = (("t", r.tag), ("i", r.id), ("a", r.app), ("r", r.type))
            if r.tag in wanted and all(given.get(letter, value) == value for letter, value in asked):
                first = {"system": node.config.node, "app": r.app, "type": r.type, "tag": r.tag, "id": r.id}
                head = [first[name] for name in unknowns.ins_list_first]
                rows.append([*head, node.kinds[r.tag].info(), node.store.state(r.tag), *unknowns.ins_list_rest])
        return Result(DONE, _rows(rows, given))

    def _eqv_list(self, options: dict[str, str]) -> Result:
        node = self.node
        if "t" in options and options["t"] not in node.tree.resources:
            return Result(DOES_NOT_EXIST, "", f"eqv_list: there is no resource {options['t']}\n")
        if options.get("e", "SHARED") != "SHARED":
            return Result(ILLEGAL, "", f"eqv_list: equivalency {options['e']} is not modelled; SHARED is\n")
        tags = [options["t"]] if "t" in options else list(node.tree.resources)
        rows = [[node.config.node, tag, node.config.peer, tag, "SHARED", *node.config.unknowns.eqv_list_rest] for tag in tags]
        return Result(DONE, _rows(rows, options))

    def _dep_list(self, options: dict[str, str]) -> Result:
        """Rows of parent and child. -c: the parents of that child, -p: the children of that parent; -C and -P list all."""
        tree = self.node.tree
        for letter in "cp":
            if letter in options and options[letter] not in tree.resources:
                return Result(DOES_NOT_EXIST, "", f"dep_list: there is no resource {options[letter]}\n")
        rows = [
            [parent, child]
            for parent, resource in tree.resources.items()
            for child in resource.children
            if options.get("p", parent) == parent
            and options.get("c", child) == child
            and options.get("a", resource.app) == resource.app
            and options.get("r", resource.type) == resource.type
        ]
        return Result(DONE, _rows(rows, options))

    def _flg_test(self, options: dict[str, str]) -> Result:
        is_set = self.node.store.has_flag(options["f"])
        return Result(DONE if is_set else self.node.config.unknowns.flg_test_absent_exit)

    def _flg_create(self, options: dict[str, str]) -> Result:
        flag = options["f"]
        if not self.node.store.create_flag(flag):
            return Result(ALREADY_EXISTS, "", f"flg_create: flag {flag} already exists\n")
        if flag.endswith("-hc-ng"):
            self.node.log.write(
                Code.PROBES_MISSING, f"no probe came: flag {flag} is set", program="lbhcd", kit="lbhc", tag=self._tag_of(flag)
            )
        self.node.journal.note("flag", flag=flag, set=True)
        return Result(DONE)

    def _flg_remove(self, options: dict[str, str]) -> Result:
        flag = options["f"]
        if not self.node.store.remove_flag(flag):
            return Result(DOES_NOT_EXIST, "", f"flg_remove: flag {flag} does not exist\n")
        if flag.endswith("-hc-ng"):
            self.node.log.write(
                Code.PROBES_BACK, f"probes come again: flag {flag} is cleared", program="lbhcd", kit="lbhc", tag=self._tag_of(flag)
            )
        self.node.journal.note("flag", flag=flag, set=False)
        return Result(DONE)

    def _tag_of(self, flag: str) -> str:
        return next((r.tag for r in self.node.config.resources if r.id == flag.removesuffix("-hc-ng")), "")

    def _ins_setstate(self, options: dict[str, str]) -> Result:
        """Edits the database and moves nothing (LKL-25)."""
        tag, state = options["t"], options["S"]
        if tag not in self.node.tree.resources:
            return Result(DOES_NOT_EXIST, "", f"ins_setstate: there is no resource {tag}\n")
        if state not in ("ISP", "ISU", "OSU"):
            return Result(ILLEGAL, "", f"ins_setstate: {state} is none of ISP, ISU, OSU\n")
        self.node.log.write(Code.DATABASE_EDITED, f"state set to {state} by hand; nothing was moved", program="ins_setstate", tag=tag)
        self.node.store.set_state(tag, state, "set by ins_setstate")
        return Result(DONE)

    def _lk_confirmso(self, options: dict[str, str]) -> Result:
        peer = options.get("y") or options.get("n")
        if peer != self.node.config.peer:
            return Result(ILLEGAL, "", f"lk_confirmso: {peer} is not the other node\n")
        if not self.node.failover.confirm("y" in options):
            return Result(DOES_NOT_EXIST, "", f"lk_confirmso: no failover from {peer} waits for an answer\n")
        return Result(DONE)

    def _lkstop(self, options: dict[str, str]) -> Result:
        failure = self.node.stop(next((mode for mode in "fnr" if mode in options), "plain"))
        return Result(DONE) if failure is None else Result(1, "", f"lkstop: stopped, but {failure}\n")


def _rows(rows: Iterable[list[str]], options: dict[str, str]) -> str:
    """One row per line, fields separated by byte 0x01 or the character of -f (LKL-18)."""
    separator = options.get("f", "\x01")
    return "".join(separator.join(row) + "\n" for row in rows)
