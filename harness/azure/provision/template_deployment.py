"""Deploying the template: the group, the deployment, its progress while it runs, and which resource failed why."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from harness.azure.client import api_versions, error_mapping
from harness.azure.client.arm import Arm
from harness.azure.client.arm_error_details import innermost_errors
from harness.azure.client.polling import pause
from harness.azure.provision import running_deployment
from harness.azure.provision.creation_record import MADE_GROUP, ORDER, Ledger, kind_of
from harness.azure.provision.deployment_request import DeploymentRequest
from harness.azure.provision.running_deployment import ENDED, UNSEEN, Running
from harness.azure.provision.template import template
from harness.core.deadline import Deadline
from harness.core.errors import BadUse, DeadlineExceeded, HarnessError, Unusable

Say = Callable[[str], None]
GROUP_VISIBLE_TIMEOUT_S = 60.0  # so long a fresh group may be unknown here and there
MIN_SIGHTINGS = 3  # in a row, until it is taken for known
DEPLOYMENT_VISIBLE_TIMEOUT_S = 20.0  # so long a fresh deployment may be unknown to Azure, which reads from more than one place


class DeploymentFailed(Unusable):
    """The message names every resource that failed, and why."""


def group_is_there(arm: Arm) -> bool:
    """Whether the resource group exists; raises HarnessError when that could not be asked."""
    return arm.exists(arm.group, "looking for the resource group")


def make_group(arm: Arm, request: DeploymentRequest, deadline: Deadline) -> bool:
    """Was it made by us? Not when somebody made one of that name since we looked: then Azure says that it changed one.

    A fresh group is known in one region and not yet in another (terraform-provider-azurerm 18268), so it must be seen several times.
    """
    created = arm.makes(arm.group, {"location": request.location, "tags": request.tags}, "making the resource group")
    sightings, visible_deadline = 0, Deadline(deadline.within(GROUP_VISIBLE_TIMEOUT_S))
    while sightings < MIN_SIGHTINGS and not visible_deadline.expired:
        sightings = sightings + 1 if group_is_there(arm) else 0
        pause(min(1.0, arm.clients.azure.poll_s), visible_deadline)
    return created


def check_conflicts(arm: Arm, ledger: Ledger) -> None:
    """Raises BadUse for resources of the same name that are there already: they would be changed, and they are not ours.

    Each is asked for by its id: a list of the group is minutes old, and another run's cluster may have come into being since.
    """
    present = [
        resource_id.rpartition("/")[2]
        for resource_id in ledger.ids
        if arm.exists(resource_id, "looking for what is in the way", api=ORDER[kind_of(resource_id)])
    ]
    if present:
        raise BadUse(f"{ledger.group} holds {', '.join(present)} already, which this would change; give --prefix, or another group")


class Deployment:
    """The template on its way. `stop` may be called after anything that went wrong: it does nothing where nothing goes on."""

    def __init__(self, arm: Arm, request: DeploymentRequest, say: Say) -> None:
        self.made_group = False  # which the deployment's own record is to say, too
        self._arm = arm
        self._request = request
        self._say = say
        self._running = Running(arm, arm.group, request.run, say)
        self._noted_states: set[tuple[str, str]] = set()
        self._is_running = False

    def run(self, deadline: Deadline) -> None:
        """Until everything is there. Raises DeploymentFailed with each resource and why, or when it takes too long."""
        try:
            self._start(deadline)
            look = partial(self._progress, deadline, Deadline(DEPLOYMENT_VISIBLE_TIMEOUT_S))
            state = deadline.wait_for(look, until=lambda s: s in ENDED, what="the deployment", every=self._arm.clients.azure.poll_s)
        except DeadlineExceeded as error:
            raise DeploymentFailed(f"{error}; give it longer with --limit") from error
        self._is_running = False
        if state != "Succeeded":
            faults = "; ".join(self._faults(deadline)) or "Azure does not say why"
            raise DeploymentFailed(f"the deployment {self._running.name} {state.lower()}: {faults}")

    def stop(self) -> None:
        """Cancel it if it still goes on, and wait for its end: only then is what it made all there is. Raises DeadlineExceeded."""
        if not self._is_running:
            return
        try:
            self._running.stop(Deadline(running_deployment.CANCELLATION_TIMEOUT_S), Deadline(DEPLOYMENT_VISIBLE_TIMEOUT_S))
        except error_mapping.NotThere as error:
            self._say(f"there is no deployment to stop: {error}")
        self._is_running = False

    def _start(self, deadline: Deadline) -> None:
        """Sent once: were a first request accepted and its answer lost, a second would be refused, and look like no deployment."""
        made_group = "yes" if self.made_group else "no"
        values = {name: {"value": value} for name, value in {**self._request.parameters, "madeGroup": made_group}.items()}
        template_body = api_versions.template_with_versions(template.load(), self._arm.clients.azure.api_versions)
        properties = {"mode": "Incremental", "template": template_body, "parameters": values}
        tags = {**self._request.tags, MADE_GROUP: made_group}
        body, doing = {"tags": tags, "properties": properties}, "starting the deployment"

        visible_deadline = Deadline(deadline.within(GROUP_VISIBLE_TIMEOUT_S if self.made_group else 0.0))

        def send(**options: Any) -> None:  # the options are for what has a poller; the runner itself sees to it that nothing is retried
            while True:
                try:
                    self._arm.put(self._running.where, body, doing)
                    return
                except error_mapping.NotThere as error:  # the group that we have just made is not known everywhere yet
                    if visible_deadline.expired:
                        raise
                    self._say(f"{error}; the group is fresh, so it is tried again")
                pause(min(1.0, self._arm.clients.azure.poll_s), visible_deadline)

        self._is_running = True  # from here on: a request whose answer gets lost may have been accepted all the same
        try:
            self._running.operations.trigger(doing, send, self._running.exists, deadline)
        except HarnessError as error:
            if _code(error).startswith("DeploymentActive"):  # its name holds the run's id: nobody else has one of that name
                self._say(f"the deployment {self._running.name} goes on already, so it was accepted; watching it")
                return
            self._is_running = not _is_refusal(error)
            raise

    def _progress(self, deadline: Deadline, visible_deadline: Deadline) -> str:
        state = self._running.state(deadline, visible_deadline)
        for operation in self._operations(deadline) if state != UNSEEN else []:
            target_and_state = (_target(operation), str(operation["properties"].get("provisioningState")))
            if target_and_state[0] and target_and_state not in self._noted_states:
                self._noted_states.add(target_and_state)
                self._say(f"{deadline.elapsed():6.1f} s  {target_and_state[0]}: {target_and_state[1]}")
        return state

    def _operations(self, deadline: Deadline) -> list[dict[str, Any]]:
        doing = "reading the deployment's progress"
        return self._running.operations.read(lambda: list(self._arm.listed(f"{self._running.where}/operations", doing)), deadline, doing)

    def _faults(self, deadline: Deadline) -> list[str]:
        faults = []
        for operation in self._operations(deadline):
            if operation["properties"].get("provisioningState") == "Failed":
                target = _target(operation)
                faults.append(f"{target or 'the template'}: {innermost_errors(operation['properties'].get('statusMessage'), target)}")
        doing = "reading the deployment"
        deployment_error = self._running.operations.read(
            lambda: self._arm.get(self._running.where, doing)["properties"].get("error"), deadline, doing
        )
        return faults or ([innermost_errors(deployment_error)] if deployment_error else [])


def _is_refusal(error: HarnessError) -> bool:
    """Azure itself said no. Of anything else it is not known what came of it."""
    return 400 <= (getattr(error.__cause__, "status_code", None) or 0) < 500


def _code(error: HarnessError) -> str:
    return str(getattr(getattr(error.__cause__, "error", None), "code", None) or "")


def _target(operation: dict[str, Any]) -> str:
    target = operation["properties"].get("targetResource") or {}
    name, kind = target.get("resourceName"), str(target.get("resourceType", "")).rpartition("/")[2]
    return f"{name} ({kind})" if name else ""
