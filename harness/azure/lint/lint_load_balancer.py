"""What Azure says against what the cluster file and the facts demand: findings, each with its facts and what to do. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import ceil

from harness.azure.inventory.resource_model import AzureResources, Balancer, Frontend, Pool, Rule
from harness.azure.lint.lint_network import network_findings
from harness.azure.lint.lint_probe import probe_findings
from harness.config.cluster_config import Cluster, Design, Service
from harness.core.finding import Finding, Weight


def judge(cluster: Cluster, resources: AzureResources) -> list[Finding]:
    """Everything in Azure that is not as it should be; what could not be read is UNKNOWN, and is not guessed at."""
    findings = [
        Finding(Weight.UNKNOWN, "azure", "not told", reason, "fix what it says; the rest of Azure was judged without it")
        for reason in resources.read_errors
    ]
    if resources.balancer is None:
        return findings
    findings += _sku_findings(resources.balancer)
    frontend = _find_frontend(cluster, resources.balancer)
    if frontend is None:
        listing = ", ".join(f"{f.name}={f.address or 'a public address'}" for f in resources.balancer.frontends) or "no frontend at all"
        do = "give the load balancer's frontend, the IP resource and this file one and the same address"
        says = f"no frontend has the IP resource's address {cluster.ip_resource.address} (it has {listing})"
        return [
            *findings,
            Finding(Weight.FAULT, resources.balancer.name, "frontend address", says, do, ("DES-09",)),
            *network_findings(cluster, resources, []),
        ]
    rules = resources.balancer.rules_of(frontend)
    pools = [p for p in resources.balancer.pools if any(p in resources.balancer.pools_of(r) for r in rules)]
    return [
        *findings,
        *_frontend_findings(cluster, resources.balancer, frontend),
        *_rule_findings(cluster, resources.balancer, rules),
        *probe_findings(cluster, resources.balancer, rules),
        *_pool_findings(cluster, resources, pools, rules),
        *network_findings(cluster, resources, rules),
    ]


def _find_frontend(cluster: Cluster, balancer: Balancer) -> Frontend | None:
    """The one with the file's address; a public one, when there is nothing else, so that just this can be said."""
    matching = [f for f in balancer.frontends if f.address == str(cluster.ip_resource.address)]
    public = [f for f in balancer.frontends if f.public]
    return next(iter(matching), public[0] if public and len(balancer.frontends) == len(public) else None)


def _sku_findings(balancer: Balancer) -> Iterator[Finding]:
    if balancer.sku.lower() != "standard":
        do = "make a Standard load balancer in its place: Basic is retired, and ends established connections when no member is healthy"
        yield Finding(Weight.FAULT, balancer.name, "SKU", f"it is {balancer.sku}, not Standard", do, ("ILB-26",))


def _frontend_findings(cluster: Cluster, balancer: Balancer, frontend: Frontend) -> Iterator[Finding]:
    if frontend.public:
        do = "put the services behind an internal load balancer, whose frontend is an address of Subnet#1"
        yield Finding(Weight.FAULT, balancer.name, "frontend", f"{frontend.name} has a public address: it is not internal", do, ("DES-05",))
    elif not frontend.static:
        do = f"set its assignment to Static with {cluster.ip_resource.address}, so that Azure cannot give it another address"
        says = f"{frontend.name} gets its address {frontend.allocation.lower()}ally"
        yield Finding(Weight.FAULT, balancer.name, "frontend", says, do, ("DES-05", "DES-09"))


def _rule_findings(cluster: Cluster, balancer: Balancer, rules: list[Rule]) -> Iterator[Finding]:
    balancer_name = balancer.name
    ha_ports_rules = [r for r in rules if r.ha_ports]
    if bool(ha_ports_rules) is not cluster.load_balancer.ha_ports:
        says = (
            f"rule {ha_ports_rules[0].name} carries all ports, and the file says ha_ports = false"
            if ha_ports_rules
            else "no rule carries all ports, and the file says ha_ports = true"
        )
        do = "set ha_ports in the file to what is meant, or change the rule: without HA ports a port that has no rule is silent"
        yield Finding(Weight.FAULT, balancer_name, "HA ports", says, do, ("ILB-18", "ILB-19"))
    if ha_ports_rules and len(rules) > len(ha_ports_rules) and not all(r.floating_ip for r in rules):
        do = "take the other rules away: without floating IP nothing may stand beside an HA-ports rule"
        yield Finding(
            Weight.FAULT, balancer_name, "HA ports", f"{len(rules) - len(ha_ports_rules)} other rules on the same frontend", do, ("ILB-20",)
        )
    for service in cluster.services:
        yield from _service_rule_findings(balancer, rules, service)
    for rule in rules:
        yield from _setting_findings(cluster, balancer_name, rule)


def _service_rule_findings(balancer: Balancer, rules: list[Rule], service: Service) -> Iterator[Finding]:
    rule = next((r for r in rules if r.ha_ports or (r.frontend_port == service.port and r.protocol in ("tcp", "all"))), None)
    if rule is None:
        do = f"make a TCP rule for frontend port {service.port}, with the pool and the probe of the others"
        says = f"no rule carries port {service.port} ({service.name}): it is silent to everybody"
        yield Finding(Weight.FAULT, balancer.name, "rule", says, do, ("ILB-19",))
        return
    if not balancer.pools_of(rule):
        do = "give it the pool that holds both nodes"
        yield Finding(Weight.FAULT, balancer.name, f"rule {rule.name}", "it has no backend pool", do, ("DES-09",))
    if not rule.ha_ports and rule.backend_port != rule.frontend_port:
        do = f"make both {service.port}: the service listens on one port, and under floating IP Azure's pages disagree"
        says = f"it sends port {rule.frontend_port} on to {rule.backend_port}"
        yield Finding(Weight.FAULT, balancer.name, f"rule {rule.name}", says, do, ("ILB-09",))


def _setting_findings(cluster: Cluster, balancer_name: str, rule: Rule) -> Iterator[Finding]:
    expected, subject = cluster.load_balancer, f"rule {rule.name}"
    if rule.floating_ip is not (cluster.design is Design.FLOATING):
        says = f"floating IP is {'on' if rule.floating_ip else 'off'}, and the design is {cluster.design}"
        do = "make the rule anew with floating IP as the design demands it, or set design in the file to what the cluster was built for"
        yield Finding(Weight.FAULT, balancer_name, subject, says, do, ("DES-01", "ILB-06" if rule.floating_ip else "ILB-05"))
    if rule.distribution.lower() != expected.distribution.lower():
        says = f"session persistence is {rule.distribution}, and the file says {expected.distribution}"
        do = "set loadDistribution to what is meant: with SourceIP one client sees one node only, which may be the wrong one"
        yield Finding(Weight.FAULT, balancer_name, subject, says, do, ("FLOW-02", "FLOW-04"))
    # Azure counts whole minutes; a lab's may be shorter.
    if abs(rule.idle_minutes * 60 - expected.idle_timeout_s) > 1e-3 and rule.idle_minutes != ceil(expected.idle_timeout_s / 60):
        says = f"idle connections are given up after {rule.idle_minutes * 60:g} s, and the file says {expected.idle_timeout_s:g} s"
        do = "set idleTimeoutInMinutes, or idle_timeout_s in the file, to what is meant; keepalives must be more frequent"
        yield Finding(Weight.FAULT, balancer_name, subject, says, do, ("IDLE-01", "IDLE-06"))
    if rule.tcp_reset is not expected.tcp_reset:
        says = (
            f"the reset at idle time-out is {'on' if rule.tcp_reset else 'off'}, and the file says {'on' if expected.tcp_reset else 'off'}"
        )
        do = "set enableTcpReset, or tcp_reset in the file, to what is meant: without it both ends believe in a dead connection"
        yield Finding(Weight.FAULT, balancer_name, subject, says, do, ("IDLE-03", "IDLE-02"))


def _pool_findings(cluster: Cluster, resources: AzureResources, pools: list[Pool], rules: list[Rule]) -> Iterator[Finding]:
    floating = any(r.floating_ip for r in rules)
    for pool in pools:
        members = resources.members_of(pool)
        for node in cluster.nodes:
            nics = resources.nics_of(node.name)
            node_members = [(m, n, c) for m, n, c in members if n in nics or m.address == str(node.address)]
            if not node_members and resources.is_fully_read(node.name):
                do = f"add the primary ip configuration of its first NIC to {pool.name}: until then only the other node can serve"
                yield Finding(Weight.FAULT, node.name, f"pool {pool.name}", "the node is not in it", do, ("DES-09", "FLOW-13"))
            for _, nic, configuration in node_members:
                if nic is None or configuration is None:
                    continue
                if configuration is not nic.main:
                    do = f"put {nic.name}'s primary ip configuration there instead; floating IP does not work on secondary ones"
                    says = f"it holds the secondary ip configuration {configuration.name} ({configuration.address}) of {nic.name}"
                    weight = Weight.FAULT if floating or configuration.address != str(node.address) else Weight.NOTE
                    yield Finding(weight, node.name, f"pool {pool.name}", says, do, ("ILB-13",))
                elif configuration.address != str(node.address):
                    do = f"put the ip configuration with {node.address} there: probes and clients go to what is in the pool"
                    says = f"it holds {configuration.address} of {nic.name}, not {node.address}"
                    yield Finding(Weight.FAULT, node.name, f"pool {pool.name}", says, do, ("DES-09", "FAB-12"))
        yield from _admin_state_findings(cluster, pool, resources)
        yield from _stranger_findings(cluster, pool, resources)


def _admin_state_findings(cluster: Cluster, pool: Pool, resources: AzureResources) -> Iterator[Finding]:
    for member, nic, configuration in resources.members_of(pool):
        if member.admin_state.lower() not in ("none", ""):
            host = (
                _node_of_member(cluster, resources, nic, member.address or (configuration.address if configuration else None))
                or member.name
            )
            effect = "gets every connection whatever its probe says" if member.admin_state.lower() == "up" else "gets no new connection"
            do = "set its adminState to None; left over, it falsifies every failover"
            yield Finding(Weight.FAULT, host, f"pool {pool.name}", f"its adminState is {member.admin_state}: it {effect}", do, ("FLOW-11",))


def _stranger_findings(cluster: Cluster, pool: Pool, resources: AzureResources) -> Iterator[Finding]:
    if not all(resources.is_fully_read(n.name) for n in cluster.nodes):
        return  # who is whose is not known
    node_addresses = {str(n.address) for n in cluster.nodes} | {str(n.second_address) for n in cluster.nodes}
    for member, nic, configuration in resources.members_of(pool):
        address = member.address or (configuration.address if configuration else None)
        if address in node_addresses or (nic is not None and _node_of_member(cluster, resources, nic, address)):
            continue
        do = "take it out of the pool, or name the cluster's real nodes in the file: whoever answers the probe there gets the clients"
        says = f"it holds {member.name}{f' ({address})' if address else ''}, which is no node of this file"
        yield Finding(
            Weight.FAULT, resources.balancer.name if resources.balancer else "azure", f"pool {pool.name}", says, do, ("PRB-22", "FLOW-01")
        )


def _node_of_member(cluster: Cluster, resources: AzureResources, nic: object, address: str | None) -> str | None:
    """The node that a member is, by its NIC or its address."""
    nodes: Iterable[str] = (
        n.name for n in cluster.nodes if str(n.address) == address or (nic is not None and nic in resources.nics_of(n.name))
    )
    return next(iter(nodes), None)
