"""Which role of docs/azure holds an action, so that a refusal can name it. A test holds both lists against the files."""

from __future__ import annotations

READ_ROLE = "docs/azure/role-read.json"
DISTURB_ROLE = "docs/azure/role-disturb.json"
SECTION = 'see "Roles" in docs/azure.md'

READS = {
    "Microsoft.Compute/virtualMachines/read",
    "Microsoft.Compute/virtualMachines/instanceView/read",
    "Microsoft.Network/loadBalancers/read",
    "Microsoft.Network/loadBalancers/backendAddressPools/read",
    "Microsoft.Network/loadBalancers/loadBalancingRules/health/action",
    "Microsoft.Network/networkInterfaces/read",
    "Microsoft.Network/networkInterfaces/effectiveNetworkSecurityGroups/action",
    "Microsoft.Network/networkInterfaces/effectiveRouteTable/action",
    "Microsoft.Network/virtualNetworks/subnets/read",
    "Microsoft.Network/locations/operations/read",
    "Microsoft.Network/locations/operationResults/read",
}

DISTURBS = {
    "Microsoft.Authorization/locks/read",
    "Microsoft.Compute/virtualMachines/powerOff/action",
    "Microsoft.Compute/virtualMachines/start/action",
    "Microsoft.Compute/virtualMachines/restart/action",
    "Microsoft.Compute/virtualMachines/redeploy/action",
    "Microsoft.Compute/virtualMachines/runCommand/action",
    "Microsoft.Compute/locations/operations/read",
    "Microsoft.Network/loadBalancers/backendAddressPools/write",
    "Microsoft.Network/loadBalancers/backendAddressPools/join/action",
    "Microsoft.Network/loadBalancers/inboundNatRules/join/action",
    "Microsoft.Network/networkInterfaces/write",
    "Microsoft.Network/applicationSecurityGroups/joinIpConfiguration/action",
    "Microsoft.Network/publicIPAddresses/join/action",
    "Microsoft.Network/networkSecurityGroups/read",
    "Microsoft.Network/networkSecurityGroups/join/action",
    "Microsoft.Network/networkSecurityGroups/securityRules/read",
    "Microsoft.Network/networkSecurityGroups/securityRules/write",
    "Microsoft.Network/networkSecurityGroups/securityRules/delete",
    "Microsoft.Network/virtualNetworks/subnets/join/action",
    "Microsoft.Resources/tags/read",
    "Microsoft.Resources/tags/write",
}


def advice(action: str | None) -> str:
    """What to do about a missing action (None where Azure did not say which). Azure spells actions in any case."""
    for role, actions in ((READ_ROLE, READS), (DISTURB_ROLE, DISTURBS)):
        if action is not None and action.lower() in {held_action.lower() for held_action in actions}:
            return f"give it a role that holds it, such as {role}"
    return f"give it a role that holds it, {SECTION}"
