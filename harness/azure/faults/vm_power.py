"""A virtual machine's power, by Azure: its state as the instance view has it, and what changes it."""

from __future__ import annotations

from harness.azure.client.operation_runner import Happened, OperationRunner, Send, Triggered
from harness.azure.client.polling import pause
from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded, Unusable

PREFIX = "PowerState/"
NOTHING_KNOWN = ("unknown", "")
GONE = ("stopping", "stopped", "deallocating", "deallocated")
FENCING_POLL_INTERVALS = 2  # so many poll intervals between two looks while the peer may fence, and needs its share of the reads
MIN_RUNNING_POLL_INTERVALS = 2  # so many poll intervals a machine must have been running before nothing is thought to be under way any more
OVERTAKING_POLL_INTERVALS = (
    12  # so many poll intervals of an operation on a running machine, or of an unknown power, before a start overtakes it
)


class Machine:
    """One virtual machine. Waits are seconds; every state is read anew."""

    def __init__(self, operations: OperationRunner, name: str) -> None:
        self._operations = operations
        self._machines = operations.clients.compute.virtual_machines
        self._group = operations.azure.resource_group
        self.name = name

    @property
    def id(self) -> str:
        """The machine's resource id."""
        return f"{self._operations.arm.group}/providers/Microsoft.Compute/virtualMachines/{self.name}"

    def look(self) -> tuple[str, bool]:
        """Its power (running, stopped, …), and whether an operation of Azure's is under way on it: one GET for both.

        Azure answers 12 reads of a machine a minute, whoever asks ("Compute throttling limits"), and the cluster's own fencing is one of
        them. The power is found by its prefix, because nobody promises an order; empty where Azure says none.
        """
        properties = self._machines.get(self._group, self.name, expand="instanceView").properties
        view = properties.instance_view if properties else None
        codes = [status.code or "" for status in (view.statuses if view else None) or []]
        power = next((code.removeprefix(PREFIX) for code in codes if code.startswith(PREFIX)), "")
        return power, bool(properties and properties.provisioning_state == "Updating")

    def state(self) -> str:
        """Its power state, such as `running` or `deallocated`."""
        return self.look()[0]

    def busy(self) -> bool:
        """Whether an operation on it is going on."""
        return self.look()[1]

    def has_ephemeral_disk(self) -> bool:
        """Is its OS disk a local one, which a move to other hardware makes anew from the image?"""
        machine = self._machines.get(self._group, self.name).properties
        profile = machine.storage_profile if machine else None
        return bool(profile and profile.os_disk and profile.os_disk.diff_disk_settings)

    def is_gone(self) -> bool:
        """Whether it has no power, deallocated or not."""
        return self.state() in GONE

    def power_off(self, deadline: Deadline) -> Triggered:
        """Without a shutdown (skipShutdown). Sent once."""
        return self._operations.trigger(
            f"powering off {self.name}",
            lambda **options: self._machines.begin_power_off(self._group, self.name, skip_shutdown=True, **options),
            self.is_gone,
            deadline,
        )

    def restart(self, happened: Happened, deadline: Deadline) -> Triggered:
        """An orderly restart by the platform. Sent once; `happened` tells what the machine itself shows of it."""
        return self._trigger_again("restarting", self._machines.begin_restart, happened, deadline)

    def redeploy(self, happened: Happened, deadline: Deadline) -> Triggered:
        """Shut down, moved to other hardware, powered on. Sent once."""
        return self._trigger_again("redeploying", self._machines.begin_redeploy, happened, deadline)

    def _trigger_again(self, doing: str, begin: Send, happened: Happened, deadline: Deadline) -> Triggered:
        def send(**options: object) -> object:
            return begin(self._group, self.name, **options)

        return self._operations.trigger(f"{doing} {self.name}", send, happened, deadline, accepted=lambda: happened() or self.busy())

    def start(self, deadline: Deadline) -> None:
        """Until it runs and nothing that could still stop it is under way; does no harm to one that runs.

        What a killed harness sent may be accepted after we have looked, so it must be seen running for some time. An operation that is
        under way for longer than that while it runs is overtaken: Azure lets the newer one win. A machine of which Azure says for as long
        that nothing is known, or nothing at all, is powered on, too.
        """
        overtake_period = self._poll_intervals(OVERTAKING_POLL_INTERVALS)
        calm_period: Deadline | None = None  # from the first look that saw it running: a look itself may take as long
        power_on_sent = False
        while True:
            state, busy = self._operations.read(self.look, deadline, f"reading the power of {self.name}")
            busy = busy and not power_on_sent
            if state != "running" or busy:
                calm_period = None
            elif calm_period is None:
                calm_period = self._poll_intervals(MIN_RUNNING_POLL_INTERVALS)
            elif calm_period.expired:
                return
            deadline.require(f"{self.name} running (Azure says {state or 'nothing'}{', and busy' if busy else ''})")
            if state in ("stopped", "deallocated") or ((busy or state in NOTHING_KNOWN) and overtake_period.expired):
                self._power_on(deadline)
                power_on_sent, overtake_period = True, self._poll_intervals(OVERTAKING_POLL_INTERVALS)
            self._pause(deadline)

    def _power_on(self, deadline: Deadline) -> None:
        limit = max(deadline.within(self._operations.azure.operation_limit_s), 0.001)
        self._operations.do(
            f"powering on {self.name}",
            lambda **options: self._machines.begin_start(self._group, self.name, **options),
            lambda: self.state() in ("running", "starting"),
            Deadline(limit),
        )

    def _poll_intervals(self, looks: int) -> Deadline:
        return Deadline(looks * self._operations.azure.poll_s)

    def _pause(self, deadline: Deadline) -> None:
        pause(self._operations.azure.poll_s, deadline)


def name_of(resource: str) -> str:
    """The last part of a resource's id."""
    return resource.rstrip("/").rpartition("/")[2]


def must_be_gone(machine: Machine, operations: OperationRunner, deadline: Deadline) -> None:
    """Azure itself says that it is off. Raises Unusable with what it says instead."""
    last_state = ""

    def is_gone() -> bool:
        nonlocal last_state
        last_state = operations.read(machine.state, deadline, f"reading the power of {machine.name}")
        return last_state in GONE

    try:
        deadline.wait_for(is_gone, what=f"{machine.name} being off", every=FENCING_POLL_INTERVALS * operations.azure.poll_s)
    except DeadlineExceeded as error:
        raise Unusable(f"{machine.name} was told to power off, and Azure still says {last_state!r}") from error
