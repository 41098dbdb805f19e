"""Watching the wire of a cluster: every host's capture is asked at once, and one that died is begun again once, whoever notices."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from harness.cluster import capture_sources, cluster_under_test
from harness.core.errors import Inconclusive, Unusable
from harness.core.timeline import Timeline
from harness.hosts.host import HostUnreachable
from harness.remote import host_capabilities
from harness.remote.captures.capture_session import mark_all


class Capture:
    """A witness that answers marks with the number of captures so far; `dead` answers none."""

    def __init__(self, host="a", python="", *, dead=False, told=None):
        self.name, self.dead, self.dropped, self.unproven = host, dead, 0, ""
        self.told = told if told is not None else []
        self.stopped, self.held = False, 0

    def start(self):
        self.told.append(f"{self.name} begins")

    def stop(self):
        self.stopped = True

    @contextlib.contextmanager
    def holding(self):
        self.held += 1
        yield
        self.held -= 1

    def ask(self):
        self.told.append(f"{self.name} asked")
        if self.dead:
            raise Inconclusive(f"{self.name} died")
        return 7

    def answer(self, asked, deadline):
        self.told.append(f"{self.name} answers")
        return asked

    def mark(self):
        return self.answer(self.ask(), None)

    def packets(self, since, until):
        return [since, until]


@pytest.fixture
def subject(monkeypatch):
    """Two hosts, each with a Python, and captures that tell what was asked of them in `told`."""
    told: list[str] = []
    monkeypatch.setattr(capture_sources, "capture_of", lambda host, capabilities, python, newest: Capture(host, python, told=told))
    made = cluster_under_test.ClusterUnderTest.__new__(cluster_under_test.ClusterUnderTest)
    made.cluster = SimpleNamespace(machines=[SimpleNamespace(name=n, ssh=SimpleNamespace(python="")) for n in ("a", "b")])
    made.hosts, made.absent, made.timeline = {"a": "a", "b": "b"}, set(), Timeline()
    made._capture_by_host, made._log_ins = {}, {}
    made._capabilities = {n: host_capabilities.FULL for n in ("a", "b")}
    made._capability_locks = {n: threading.Lock() for n in ("a", "b")}
    made._capture_locks, made._failed_captures = {n: threading.Lock() for n in ("a", "b")}, {}
    made.cluster.network_capture = None
    made.captures = capture_sources.CaptureSources(made.cluster, made.hosts, made.capabilities)
    made.told = told
    return made


def test_all_are_asked_before_one_is_waited_for():
    told = []
    found, lost = mark_all({n: Capture(n, told=told) for n in ("a", "b", "c")})
    assert found == {"a": 7, "b": 7, "c": 7} and not lost
    assert told[:3] == ["a asked", "b asked", "c asked"]


def test_one_that_died_is_told_and_the_others_are_marked():
    found, lost = mark_all({"a": Capture("a", dead=True), "b": Capture("b")})
    assert found == {"b": 7} and str(lost["a"]) == "a died"


def test_a_capture_that_died_is_begun_again(subject):
    with subject.watched():
        pass
    died = subject._capture_by_host["a"]
    died.dead = True
    with subject.watched() as sight:
        assert set(sight.packets()) == {"a", "b"}
    assert died.stopped and subject._capture_by_host["a"] is not died
    assert subject.told.count("a begins") == 2 and subject.told.count("b begins") == 1


def test_one_that_dies_meanwhile_leaves_nothing_to_be_said(subject):
    with subject.watched() as sight:
        subject._capture_by_host["a"].dead = True
        with pytest.raises(Inconclusive, match="a died"):
            sight.packets()


def test_whoever_finds_it_begun_again_does_not_begin_it_once_more(subject):
    old = Capture("a", dead=True)
    subject._capture_by_host["a"] = Capture("a", told=subject.told)  # another thread was quicker
    witness, start = subject._begin_capture("a", old, Inconclusive("died"), contextlib.ExitStack())
    assert (witness, start) == (subject._capture_by_host["a"], 7) and "a begins" not in subject.told


def test_of_many_that_wait_for_a_host_that_does_not_answer_one_tries(subject, monkeypatch):
    """Nine paths are tried at once; each for itself would wait for the capture behind the others."""
    begun, waiting = [], threading.Barrier(10)

    def silent(host, capabilities, python, newest):
        one = Capture(host, python, told=subject.told)
        if host == "a":

            def start():
                begun.append(host)
                waiting.wait(60)  # until the others have come, too
                raise Inconclusive("a: the packet capture did not begin")

            one.start = start
        return one

    monkeypatch.setattr(capture_sources, "capture_of", silent)
    lock = subject._capture_locks["a"]

    class Counted:
        def __enter__(self):
            if not lock.acquire(blocking=False):
                waiting.wait(60)
                lock.acquire()

        def __exit__(self, *_):
            lock.release()

    subject._capture_locks["a"] = Counted()

    def watch():
        with pytest.raises(Inconclusive, match="did not begin"), subject.watched("a"):
            pass

    with ThreadPoolExecutor(10) as pool:
        for done in [pool.submit(watch) for _ in range(10)]:
            done.result()
    assert begun == ["a"]
    waiting.reset()
    subject._capture_locks["a"] = lock
    monkeypatch.setattr(capture_sources, "capture_of", lambda host, capabilities, python, newest: Capture(host, python, told=subject.told))
    with subject.watched("a") as sight:  # a later look tries anew
        assert sight.watching == ("a",)


def test_packets_are_held_while_somebody_watches_and_no_longer(subject):
    for _ in range(2):  # begun by the first, found by the second
        with subject.watched(), subject.watched("a"):
            assert {name: one.held for name, one in subject._capture_by_host.items()} == {"a": 2, "b": 1}
        assert not any(one.held for one in subject._capture_by_host.values())


def test_a_windows_host_that_allows_no_capture_is_asked_once_and_judged_by_outcomes(subject, monkeypatch):
    def refused(host, capabilities, python, newest):
        one = Capture(host, python, told=subject.told)
        if host == "a":
            one.start = lambda: (_ for _ in ()).throw(Unusable("a: receive-all was refused: AccessDenied"))
        return one

    monkeypatch.setattr(capture_sources, "capture_of", refused)
    subject._capabilities["a"] = host_capabilities.COMPILED
    for _ in range(2):
        with subject.watched() as sight:
            assert sight.watching == ("b",)
    assert subject.unwatchable() == ["a"] and subject.capture_refused == {"a": "a: receive-all was refused: AccessDenied"}


def test_a_linux_host_that_allows_no_capture_is_an_error(subject, monkeypatch):
    def refused(host, capabilities, python, newest):
        raise Unusable(f"{host}: no root")

    monkeypatch.setattr(capture_sources, "capture_of", refused)
    with pytest.raises(Unusable, match="no root"), subject.watched():
        raise AssertionError("it is not watched")


def test_a_log_in_that_was_begun_ahead_is_the_first_ones_answer_and_is_not_tried_twice(subject):
    tried: list[str] = []

    class Host:
        def __init__(self, name):
            self.name = name

        def check(self, command):
            tried.append(self.name)
            if self.name == "b":
                raise HostUnreachable("b: refused")

    subject.hosts = {n: Host(n) for n in ("a", "b")}
    subject.begin_log_ins()
    subject.let_in("a")
    with pytest.raises(HostUnreachable, match="refused"):
        subject.let_in("b")
    assert sorted(tried) == ["a", "b"]
    subject.let_in("a")
    assert sorted(tried) == ["a", "a", "b"], "whoever asks later asks the host"
