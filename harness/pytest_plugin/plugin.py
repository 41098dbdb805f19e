"""The pytest plugin: options, one run per session, the cluster under test, and the report.

A session that never asks for the cluster (the harness's own unit tests) makes no run directory and brings up nothing.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.attach.execution_plan import PlannedDisruption, planned_disruption
from harness.attach.lease import LeaseHeld
from harness.config import cluster_config
from harness.core.errors import ExitCode, HarnessError
from harness.core.files import OTHERS_READ, OWNER_ALONE, expand_user, writing_for
from harness.core.terminal import CLEANER
from harness.core.text.output_encoding import allow_every_encoding
from harness.core.text.wording import most_said
from harness.disrupt.none import Nothing
from harness.pytest_plugin import pytest_items, pytest_options
from harness.pytest_plugin.live_view import LiveView
from harness.pytest_plugin.measurement_plan import Planned
from harness.pytest_plugin.pytest_session import Session
from harness.pytest_plugin.session_factory import make_session

if TYPE_CHECKING:
    from harness.notify.notifier import Notifier

KEY = pytest.StashKey[Session]()
NO_PLAN = pytest.StashKey[HarnessError]()  # why no disruption could be planned
# Reading, tagging, doing, seeing and ending it; an undoing, which has the time of two; and another at the end of the session.
MAX_AZURE_OPERATIONS = 10
SOAK_MARGIN_S = 1800.0


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the options of both suites."""
    pytest_options.add_options(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Takes only its owner's rights for what a run about a cluster writes, and lets the terminal print everything."""
    if config.option.cluster or os.environ.get("LKHARNESS_CLUSTER"):
        _write_for(config)
    allow_every_encoding()
    config.addinivalue_line(
        "markers",
        "disruptive(*names): disturbs the cluster by these disruptions; needs --allow-disruption when attached; runs after all others",
    )
    config.addinivalue_line("markers", "in_azure: asks Azure's management API; collected only where there is one to be asked")
    try:
        session = make_session(config.option, config.invocation_params.args, _reports(config), _run_file(config))
        notifier = _notifier(config)
    except HarnessError as error:
        pytest.exit(CLEANER.text(str(error)), returncode=int(error.exit_code))
    config.stash[KEY] = session
    session.notifier = notifier
    config.pluginmanager.register(_Ending(session), "lkharness-ending")


def _notifier(config: pytest.Config) -> Notifier | None:
    """Who is told of a change; None where nobody is."""
    if config.option.notify is None:
        return None
    from harness.notify.notifier import load

    return load(config.invocation_params.dir / expand_user(config.option.notify), config.option.notify_after)


def _write_for(config: pytest.Config) -> None:
    """To the session's end its files are their owner's alone, or everybody's to read where that is asked for, whatever the umask was."""
    rights = contextlib.ExitStack()
    rights.enter_context(writing_for(OTHERS_READ if config.option.readable_reports else OWNER_ALONE))
    config.add_cleanup(rights.close)


def _reports(config: pytest.Config) -> Path:
    """Paths count from where the caller stands."""
    return config.invocation_params.dir / expand_user(config.option.reports)


def _run_file(config: pytest.Config) -> Path | None:
    """Where the run's folder is written down; None where nobody asks for that."""
    return None if config.option.run_file is None else config.invocation_params.dir / expand_user(config.option.run_file)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Gives a test that asks for `service` one case for each service of the cluster."""
    if "service" in metafunc.fixturenames:
        services = metafunc.config.stash[KEY].cluster.services
        metafunc.parametrize("service", [s.name for s in services], indirect=True)
    if "disruption" in metafunc.fixturenames:
        try:
            planned = metafunc.config.stash[KEY].planned()
        except HarnessError as error:  # while a file is collected, pytest takes an exit for a fault of that file
            metafunc.config.stash[NO_PLAN], planned = error, []
        metafunc.parametrize("disruption", planned, ids=str, indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Puts what disturbs the cluster behind what only looks, and shows the plan."""
    items.sort(key=lambda item: item.get_closest_marker("disruptive") is not None)
    session = config.stash[KEY]
    if error := config.stash.get(NO_PLAN, None):
        pytest.exit(session.redact(str(error)), returncode=int(error.exit_code))
    if not session.has_azure and (azure_items := [item for item in items if item.get_closest_marker("in_azure")]):
        config.hook.pytest_deselected(items=azure_items)
        items[:] = [item for item in items if item not in azure_items]
    if session.cluster.azure is not None and session.may_disturb:
        _extend_timeouts(config, items, session.cluster.azure.operation_limit_s)
    _extend_for_soak(items)
    for item in items:
        if item.get_closest_marker("disruptive") and not (session.may_disturb or config.option.dry_run):
            item.add_marker(pytest.mark.skip(reason=_why_not_allowed(item)))


def _why_not_allowed(item: pytest.Item) -> str:
    """Why a test is left on an attached cluster that may not be disturbed: measuring alone writes to its databases and is a load."""
    planned = item.callspec.params.get("disruption") if hasattr(item, "callspec") else None
    return Session.why_not_measure if isinstance(planned, Planned) and planned.name == Nothing.name else Session.why_not_disturb


def _extend_for_soak(items: list[pytest.Item]) -> None:
    """A soak's test takes as long as was asked for, and a round more with its undoing."""
    for item in items:
        planned = item.callspec.params.get("disruption") if hasattr(item, "callspec") else None
        if isinstance(planned, Planned) and planned.start.lasts_s:
            usual = item.get_closest_marker("timeout")  # as what drives Azure has, for one round of it
            margin = max(SOAK_MARGIN_S, float(usual.args[0]) if usual is not None and usual.args else 0.0)
            item.add_marker(pytest.mark.timeout(planned.start.lasts_s + margin), append=False)  # the first one counts


def _extend_timeouts(config: pytest.Config, items: list[pytest.Item], operation_limit_s: float) -> None:
    """A timeout that fell into an undoing would leave the cluster disturbed. What a person asked for (--timeout) stays as it is."""
    usual = config.getini("timeout") if config.pluginmanager.hasplugin("timeout") else None
    if not usual or config.getoption("timeout") is not None or os.environ.get("PYTEST_TIMEOUT"):
        return
    for item in items:
        if item.get_closest_marker("disruptive") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(float(usual) + MAX_AZURE_OPERATIONS * operation_limit_s))


def planned_faults(items: list[pytest.Item]) -> list[PlannedDisruption]:
    """What the chosen tests would do to the cluster, by their marks and parameters."""
    faults = []
    for item in items:
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        if not item.get_closest_marker("disruptive") or item.get_closest_marker("skip"):
            continue
        if isinstance(planned := parameters.get("disruption"), Planned):
            period_s, lasts_s = item.config.option.period / 1000, planned.start.lasts_s
            faults.append(planned_disruption(planned.name, parameters, measured=True, period_s=period_s, lasts_s=lasts_s))
        faults += [planned_disruption(name, parameters) for mark in item.iter_markers("disruptive") for name in mark.args]
    return faults


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> None:
    """Remembers what a test's timeout is, to set it again before each round of a soak; pytest-timeout sets it."""
    pytest_items.timeout_set(item, settings)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> object:
    """A dry run runs no test."""
    if not session.config.option.dry_run or session.config.option.collectonly:
        return None
    try:
        _say(session.config, session.config.stash[KEY].rehearse(planned_faults(session.items)))
    except HarnessError as error:
        pytest.exit(session.config.stash[KEY].redact(str(error)), returncode=int(error.exit_code))
    return True


def _say(config: pytest.Config, text: str) -> None:
    """To the terminal, past pytest's capture."""
    terminal, capture = config.pluginmanager.getplugin("terminalreporter"), config.pluginmanager.getplugin("capturemanager")
    if terminal is None:
        return
    with capture.global_and_fixture_disabled() if capture is not None else contextlib.nullcontext():
        terminal.ensure_newline()
        terminal.write_line(config.stash[KEY].redact(text))


@pytest.fixture(scope="session")
def lk_session(request: pytest.FixtureRequest) -> Iterator[Session]:
    """The session with its cluster attached; ends the run (report first, then teardown)."""
    session = request.config.stash[KEY]
    _write_for(request.config)
    gc.freeze()  # what has been loaded stays: the collector, which pytest runs twice more at the end, need not look at it again
    try:
        session.attach(planned_faults(request.session.items), partial(_say, request.config))
        yield session
    except HarnessError as error:
        if isinstance(error, LeaseHeld):
            _say(request.config, f"refused: {error}")  # at once: the report takes longer than the refusal
        session.record_setup_error(error)
        pytest.exit(session.redact(str(error)), returncode=int(error.exit_code))
    except KeyboardInterrupt:
        session.interrupted = True  # during the bring-up; pytest tells of it only after this fixture has ended
        raise
    finally:
        session.close()


@pytest.fixture
def disruption(request: pytest.FixtureRequest) -> Planned:
    """Each measurement that the options ask for, in turn."""
    return request.param


@pytest.fixture
def live_view(request: pytest.FixtureRequest, lk_session: Session) -> None:
    """What is measured is shown while it is measured, past pytest's capture, unless -q asks for quiet."""
    capture = request.config.pluginmanager.getplugin("capturemanager")
    if request.config.option.verbose >= 0 and capture is not None:
        lk_session.view = LiveView(capture.global_and_fixture_disabled)


@pytest.fixture
def cluster(request: pytest.FixtureRequest, lk_session: Session):
    """The cluster under test, for one test: whole before it, audited after it."""
    with lk_session.test(request.node) as bench:
        yield bench


@pytest.fixture
def service(request: pytest.FixtureRequest, lk_session: Session) -> cluster_config.Service:
    """Each service of the cluster in turn, as the attached cluster's file has it."""
    return next(s for s in lk_session.cluster.services if s.name == request.param)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    """Tells the session how each phase of a test ended."""
    report = yield
    item.config.stash[KEY].record_phase(item, call, report)
    return report


class _Ending:
    """Hears of Ctrl-C before the fixtures are torn down, so that the report can say so."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo) -> None:
        self._session.interrupted = excinfo.errisinstance(KeyboardInterrupt)


def _is_about_a_cluster(config: pytest.Config) -> bool:
    """The plug-in is loaded wherever it is installed, also for tests that have nothing to do with clusters."""
    return bool(config.option.cluster or os.environ.get("LKHARNESS_CLUSTER") or config.getini("lkharness_suite"))


def _skipped_all(config: pytest.Config, exitstatus: int) -> bool:
    """Whether tests were chosen and every one of them skipped, as disruptions are without --allow-disruption: no word about the cluster."""
    option, terminal = config.option, config.pluginmanager.getplugin("terminalreporter")
    if int(exitstatus) != pytest.ExitCode.OK or option.collectonly or option.dry_run or terminal is None:
        return False
    return bool(terminal.stats.get("skipped")) and not any(terminal.stats.get(outcome) for outcome in ("passed", "xfailed", "xpassed"))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """The contract's exit codes (3 when nothing failed but something could not be judged) for sessions that used a cluster."""
    run_session = session.config.stash.get(KEY, None)
    collected_none = int(exitstatus) == pytest.ExitCode.NO_TESTS_COLLECTED
    if (collected_none or _skipped_all(session.config, exitstatus)) and _is_about_a_cluster(session.config):
        session.exitstatus = ExitCode.INCONCLUSIVE  # nothing was looked at
    elif run_session is not None and int(exitstatus) in (0, 1, 2):
        session.exitstatus = run_session.exit_code(int(exitstatus), session.testsfailed)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config) -> None:
    """Prints the run's summary."""
    run_session = config.stash.get(KEY, None)
    if _skipped_all(config, exitstatus) and _is_about_a_cluster(config):
        reason = most_said(pytest_items.skip_reason(report) for report in terminalreporter.stats["skipped"])
        terminalreporter.write_line(f"inconclusive: every test was skipped, so nothing was looked at: {reason}", yellow=True)
    if run_session is not None and run_session.finished is not None:
        terminalreporter.reportchars = "".join(c for c in terminalreporter.reportchars if c not in "fE")  # the summary names them once
        terminalreporter.section("result of the run")
        terminalreporter.write_line(run_session.summary())
        for annotation in run_session.ci_annotations():
            terminalreporter.write_line(annotation)
        if run_session.kept:
            terminalreporter.write_line(run_session.kept)


def pytest_unconfigure(config: pytest.Config) -> None:
    """The last line of all, behind pytest's own."""
    run_session = config.stash.get(KEY, None)
    if run_session is not None and run_session.finished is not None and (warning := run_session.not_as_found()):
        with contextlib.suppress(OSError):  # the terminal may be gone
            print(warning, file=sys.__stderr__, flush=True)
