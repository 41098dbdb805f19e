"""How deep the tests of the harness go, and the marks that say when a test runs. The product's suites, beside them, use neither."""

from __future__ import annotations

import gc
import importlib.util
import signal
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import deep_option

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.scheduler import LoadFileScheduling

SUITES = ("acceptance", "failover")  # the product's, with the product's own limit
CEILING_S = 900  # for one test on a machine that does much else; what hangs is found all the same
TIMING_MARK = "mark.timing"  # how a file says that it has tests which measure time
NEED_AZURE = ("azure", "azure_lab", "azure_operations")  # these folders
WITH_LABS = ("harm", "e2e", "lab")
MANY_TESTS = 1000  # of fewer one look by the collector costs more than all that are saved
AT_AZURES_PACE = ("azure", "azure_lab", "azure_operations")


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # nor is what it is part of
        return False


# `azure` alone would be found: the folder of that name beside this file can be imported, too.
LACKING = [name for name in ("azure.core", "trustme") if not _is_installed(name)]


class ModuleWithoutAzure(pytest.Module):
    """A file of tests that cannot even be imported here."""

    def collect(self) -> list[pytest.Item]:
        pytest.skip(f"not installed: {', '.join(LACKING)}; `./run tests` installs them", allow_module_level=True)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """The part that measures time need not load the many files that have nothing for it."""
    if config.option.markexpr == "timing" and collection_path.match("test_*.py") and TIMING_MARK not in collection_path.read_text("utf-8"):
        return True
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    if LACKING and module_path.parent.name in NEED_AZURE:
        return ModuleWithoutAzure.from_parent(parent, path=module_path)
    return None


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("lkharness")
    group.addoption(
        "--deep", action="store_true", help="the deep part of the harness's own tests, too: every disruption, every fault at every step, …"
    )
    group.addoption("--heavy", action="store_true", help="the heavy ones, too, which .ci/run has; --deep has them as well")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling | None:
    from tests.scheduling import ComputeBesideLabs

    return ComputeBesideLabs(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "deep: runs with --deep only, by hand and every night (docs/testing.md)")
    config.addinivalue_line("markers", "heavy: a whole run or a lab for one question: runs in .ci/run, with --heavy and with --deep")
    config.addinivalue_line("markers", "asked_for: would be heavy, but for a variable of the environment that asks for it")
    config.addinivalue_line("markers", "timing: measures time, so it runs while no other test does (docs/testing.md)")
    if config.option.deep:
        deep_option.choose_deep()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Thousands of tests stay as they are collected: Python's collector would look through them again and again and find nothing."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent.name not in SUITES and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(CEILING_S))
    if not config.option.deep:
        not_now = ["deep"] if config.option.heavy else ["deep", "heavy"]
        left_out = {item for item in items if any(item.get_closest_marker(mark) for mark in not_now)}
        config.hook.pytest_deselected(items=list(left_out))
        items[:] = [item for item in items if item not in left_out]
    items[:] = _waiting_among_working(items)


def _waiting_among_working(items: list[pytest.Item]) -> list[pytest.Item]:
    """Such tests wait more than they work: their files are spread evenly among those of the other labs, so that neither
    leaves the processors idle for minutes. Within a file the order stays, and what needs no lab at all comes last, as it is named."""
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    waiting = [path for path in files if path.parent.name in AT_AZURES_PACE]
    working = [path for path in files if path.parent.name in WITH_LABS]
    if not waiting or not working:
        return items
    place = {path: (number + 0.5) / len(those) for those in (waiting, working) for number, path in enumerate(those)}
    return [item for path in sorted(files, key=lambda path: place.get(path, 1.0)) for item in files[path]]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Labs are begun as tests may have them. And what is loaded by now stays to the end: Python's collector need not look at thousands of
    tests again and again."""
    if {item.path.parent.name for item in session.items} & {*WITH_LABS, *NEED_AZURE}:
        from tests.e2e import forked_labs

        forked_labs.fork_those_of_tests()
    if len(session.items) > MANY_TESTS:
        gc.collect()
        gc.freeze()


def pytest_runtest_setup() -> None:
    """Tests press Ctrl-C and close terminals.

    A shell has what it starts in the background ignore that, and the command line's module lets Ctrl-C end its process without a word.
    """
    if signal.getsignal(signal.SIGINT) in (signal.SIG_IGN, signal.SIG_DFL):
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # As of nohup, which every program that a test starts would inherit; Windows has none.
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
