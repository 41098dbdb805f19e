"""A healthy cluster in Azure's wire format, written by hand for these tests: the default cluster, as a person would have built it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.azure.inventory import resource_parser
from harness.azure.inventory.resource_model import AzureResources
from harness.config import cluster_config
from harness.lab.lifecycle import default_cluster

SUBSCRIPTION, GROUP = "00000000-0000-0000-0000-000000000000", "customer"
IN_GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers"
LB = f"{IN_GROUP}/Microsoft.Network/loadBalancers/ilb"
VNET = f"{IN_GROUP}/Microsoft.Network/virtualNetworks/vnet"
HOSTS = {"lkclient": 20, "lknode01": 11, "lknode02": 12}


def cluster(**over: Any) -> cluster_config.Cluster:
    figure = default_cluster.merge_tables(default_cluster.DEFAULT_CLUSTER, default_cluster.PROFILES["azure"])
    table = {"subscription": SUBSCRIPTION, "resource_group": GROUP}
    return cluster_config.parse(
        default_cluster.merge_tables(default_cluster.merge_tables(figure, {"azure": table}), over), Path("customer.toml")
    )


def nic_id(host: str, n: int) -> str:
    return f"{IN_GROUP}/Microsoft.Network/networkInterfaces/{host}-nic{n}"


def rule(port: int, **over: Any) -> dict[str, Any]:
    return {
        "name": f"rule-{port}",
        "id": f"{LB}/loadBalancingRules/rule-{port}",
        "properties": {
            "frontendIPConfiguration": {"id": f"{LB}/frontendIPConfigurations/frontend"},
            "frontendPort": port,
            "backendPort": port,
            "protocol": "Tcp",
            "enableFloatingIP": False,
            "idleTimeoutInMinutes": 4,
            "enableTcpReset": False,
            "loadDistribution": "Default",
            "backendAddressPool": {"id": f"{LB}/backendAddressPools/pool"},
            "probe": {"id": f"{LB}/probes/probe"},
            **over,
        },
    }


def balancer() -> dict[str, Any]:
    members = [f"{nic_id(h, 1)}/ipConfigurations/primary" for h in ("lknode01", "lknode02")]
    return {
        "name": "ilb",
        "id": LB,
        "type": "Microsoft.Network/loadBalancers",
        "location": "westeurope",
        "sku": {"name": "Standard"},
        "properties": {
            "frontendIPConfigurations": [
                {
                    "name": "frontend",
                    "id": f"{LB}/frontendIPConfigurations/frontend",
                    "properties": {
                        "privateIPAddress": "10.20.1.200",
                        "privateIPAllocationMethod": "Static",
                        "subnet": {"id": f"{VNET}/subnets/subnet1"},
                    },
                }
            ],
            "backendAddressPools": [
                {
                    "name": "pool",
                    "id": f"{LB}/backendAddressPools/pool",
                    "properties": {
                        "backendIPConfigurations": [{"id": m} for m in members],
                        "loadBalancerBackendAddresses": [
                            {"name": m.split("/")[-3], "properties": {"networkInterfaceIPConfiguration": {"id": m}, "adminState": "None"}}
                            for m in members
                        ],
                    },
                }
            ],
            "probes": [
                {
                    "name": "probe",
                    "id": f"{LB}/probes/probe",
                    "properties": {"protocol": "Tcp", "port": 12345, "intervalInSeconds": 5, "probeThreshold": 1, "numberOfProbes": 1},
                }
            ],
            "loadBalancingRules": [rule(1521), rule(5432), rule(80)],
        },
    }


def nic(host: str, n: int) -> dict[str, Any]:
    pooled = n == 1 and host != "lkclient"
    return {
        "name": f"{host}-nic{n}",
        "id": nic_id(host, n),
        "properties": {
            "primary": n == 1,
            "enableIPForwarding": False,
            "virtualMachine": {"id": vm_id(host)},
            "ipConfigurations": [
                {
                    "name": "primary",
                    "id": f"{nic_id(host, n)}/ipConfigurations/primary",
                    "properties": {
                        "primary": True,
                        "privateIPAddress": f"10.20.{n}.{HOSTS[host]}",
                        "subnet": {"id": f"{VNET}/subnets/subnet{n}"},
                        "loadBalancerBackendAddressPools": [{"id": f"{LB}/backendAddressPools/pool"}] if pooled else [],
                    },
                }
            ],
        },
    }


def vm_id(host: str) -> str:
    return f"{IN_GROUP}/Microsoft.Compute/virtualMachines/{host}"


def nics_of(host: str) -> tuple[int, ...]:
    return (1,) if host == "lkclient" else (1, 2)


def vm(host: str) -> dict[str, Any]:
    interfaces = [{"id": nic_id(host, n), "properties": {"primary": n == 1}} for n in reversed(nics_of(host))]
    return {
        "name": host,
        "id": vm_id(host),
        "properties": {
            "networkProfile": {"networkInterfaces": interfaces},
            "storageProfile": {"osDisk": {"osType": "Linux"}},
            "instanceView": {"statuses": [{"code": "ProvisioningState/succeeded"}, {"code": "PowerState/running"}]},
        },
    }


def security_rule(name: str, priority: int, access: str, source: str, ports: str = "0-65535", expanded: tuple[str, ...] = ()) -> dict:
    return {
        "name": name,
        "protocol": "All",
        "direction": "Inbound",
        "priority": priority,
        "access": access,
        "sourcePortRange": "0-65535",
        "destinationPortRange": ports,
        "sourceAddressPrefix": source,
        "expandedSourceAddressPrefix": list(expanded),
        "destinationAddressPrefix": "0.0.0.0/0",
    }


def default_rules() -> list[dict]:
    return [
        security_rule(
            "defaultSecurityRules/AllowVnetInBound", 65000, "Allow", "VirtualNetwork", expanded=("10.20.0.0/16", "168.63.129.16/32")
        ),
        security_rule(
            "defaultSecurityRules/AllowAzureLoadBalancerInBound", 65001, "Allow", "AzureLoadBalancer", expanded=("168.63.129.16/32",)
        ),
        security_rule("defaultSecurityRules/DenyAllInBound", 65500, "Deny", "0.0.0.0/0"),
    ]


def effective(*more: dict) -> dict[str, Any]:
    return {
        "value": [
            {
                "networkSecurityGroup": {"id": f"{IN_GROUP}/Microsoft.Network/networkSecurityGroups/nsg1"},
                "association": {"subnet": {"id": f"{VNET}/subnets/subnet1"}},
                "effectiveSecurityRules": [*more, *default_rules()],
            }
        ]
    }


def routes(*more: dict) -> dict[str, Any]:
    own = [
        {"source": "Default", "state": "Active", "addressPrefix": ["10.20.0.0/16"], "nextHopType": "VnetLocal", "nextHopIpAddress": []},
        {"source": "Default", "state": "Active", "addressPrefix": ["0.0.0.0/0"], "nextHopType": "Internet", "nextHopIpAddress": []},
        {"source": "Default", "state": "Active", "addressPrefix": ["10.0.0.0/8"], "nextHopType": "None", "nextHopIpAddress": []},
    ]
    return {"value": [*own, *more]}


class Wire:
    """All payloads of one cluster; a test spoils one of them, and `seen` reads them."""

    def __init__(self) -> None:
        self.balancer = balancer()
        self.machines = {h: vm(h) for h in HOSTS}
        self.nics = {f"{h}-nic{n}": nic(h, n) for h in HOSTS for n in nics_of(h)}
        self.filters = {name: effective() for name in self.nics}
        self.routes = {name: routes() for name in self.nics}

    @property
    def frontend(self) -> dict[str, Any]:
        return self.balancer["properties"]["frontendIPConfigurations"][0]["properties"]

    @property
    def probe(self) -> dict[str, Any]:
        return self.balancer["properties"]["probes"][0]["properties"]

    @property
    def pool(self) -> dict[str, Any]:
        return self.balancer["properties"]["backendAddressPools"][0]["properties"]

    @property
    def rules(self) -> list[dict[str, Any]]:
        return self.balancer["properties"]["loadBalancingRules"]

    def each_rule(self, **over: Any) -> None:
        for one in self.rules:
            one["properties"].update(over)

    def leave_pool(self, host: str) -> None:
        self.nics[f"{host}-nic1"]["properties"]["ipConfigurations"][0]["properties"]["loadBalancerBackendAddressPools"] = []
        for key in ("backendIPConfigurations", "loadBalancerBackendAddresses"):
            self.pool[key] = [m for m in self.pool[key] if host not in str(m)]

    def seen(self) -> AzureResources:
        nics = tuple(resource_parser.nic(w) for w in self.nics.values())
        by_name = {n.name: n.id.lower() for n in nics}
        return replace(
            AzureResources(SUBSCRIPTION, GROUP),
            balancer=resource_parser.balancer(self.balancer),
            machines={h: resource_parser.machine(w) for h, w in self.machines.items()},
            nics=nics,
            filters={by_name[n]: resource_parser.filters(w) for n, w in self.filters.items()},
            routes={by_name[n]: resource_parser.routes(w) for n, w in self.routes.items()},
            prefixes={f"{VNET}/subnets/subnet{n}".lower(): (f"10.20.{n}.0/24",) for n in (1, 2)},
        )
