"""The errors a person sees, each with the exit code that the contract gives it.

Every message is one sentence that says what is wrong and what to do. Nothing here is ever shown as a traceback.
"""

from enum import IntEnum

from harness.core.text.host_text import visible


class ExitCode(IntEnum):
    """What `lkharness` and the plugin exit with."""

    PASSED = 0
    FAILED = 1
    BAD_USE = 2
    INCONCLUSIVE = 3
    UNUSABLE = 4


class HarnessError(Exception):
    """Base of every error that is meant for a person. What a host said in it is written out, and does nothing to a terminal."""

    def __init__(self, message: object = "") -> None:
        super().__init__(visible(str(message)))

    exit_code = ExitCode.FAILED


class BadUse(HarnessError):
    """A wrong option, or a configuration that cannot be used."""

    exit_code = ExitCode.BAD_USE


class Unusable(HarnessError):
    """The environment could not be reached or lacks something; the product under test is not to blame."""

    exit_code = ExitCode.UNUSABLE


class Inconclusive(HarnessError):
    """The measurement itself broke, so that neither pass nor fail may be claimed."""

    exit_code = ExitCode.INCONCLUSIVE


class DeadlineExceeded(HarnessError):
    """Something did not happen in time. The message says what, how long it was waited for, and the last thing seen."""
