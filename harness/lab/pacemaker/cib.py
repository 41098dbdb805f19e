"""The cluster's configuration, the CIB, made from the cluster file.

    cluster-services (group): file system → PostgreSQL → listener → web → probe responder
    the IP resource, colocated with the group and never ordered against it: its loss restarts nothing

The resource agents are the distribution's own: IPaddr2, azure-lb (facts PCM-08), Filesystem, pgsql, anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from xml.etree import ElementTree as xml

from harness.config.cluster_config import Cluster, Service
from harness.lab.lab_config import DATABASES, STAND_INS
from harness.lab.lifekeeper_config import DATABASE, DISK, DISK_SOURCE, MOUNTPOINT, PYTHON, check_limit, options_of
from harness.lab.pacemaker import monitor_hook
from harness.lab.services.postgres_template import server_binaries

SCHEMA = "pacemaker-3.0"  # of Pacemaker 2.0, which every newer one takes
FENCE, FENCE_AGENT = "fence", "fence_lab"
AZURE_AGENT = "fence_azure_arm"
SOCKET_FOLDER = "/run/postgresql"
LAB_FENCE_TIMEOUT_S, AZURE_FENCE_TIMEOUT_S = (
    20,
    120,
)  # how long a fence may take; Azure's agent loads its packages, and powers off, on, and looks in between
TIMEOUTS_S = {"start": 60, "stop": 60}  # how long an agent may take; the agents' own hints


def text(cluster: Cluster, *, azure: Mapping[str, str] | None = None, disk_device: str | None = None) -> str:
    """The whole CIB, as both nodes find it on their disks when they boot for the first time. `azure`: what fence_azure_arm needs to know of
    the subscription, where it is what fences; `disk_device`: the block device that is the shared disk, else it is a folder, DISK_SOURCE."""
    cib = xml.Element("cib", {"validate-with": SCHEMA, "admin_epoch": "1", "epoch": "1", "num_updates": "0"})
    configuration = xml.SubElement(cib, "configuration")
    options = xml.SubElement(xml.SubElement(configuration, "crm_config"), "cluster_property_set", id="cib-bootstrap-options")
    for name, value in _options(cluster, fence_s=AZURE_FENCE_TIMEOUT_S if azure else LAB_FENCE_TIMEOUT_S).items():
        xml.SubElement(options, "nvpair", id=f"cib-bootstrap-options-{name}", name=name, value=value)
    xml.SubElement(configuration, "nodes")
    resources = xml.SubElement(configuration, "resources")
    _fence(resources, cluster, azure)
    group = xml.SubElement(resources, "group", id=cluster.manager.resource)
    if any(s.kind in DATABASES for s in cluster.services):
        mounted = (
            {"device": disk_device, "fstype": "ext4"} if disk_device else {"device": str(DISK_SOURCE), "fstype": "none", "options": "bind"}
        )
        parameters = {"directory": str(MOUNTPOINT), **mounted}
        _primitive(group, cluster, DISK, "Filesystem", parameters)
    for service in sorted(cluster.services, key=lambda s: s.kind not in DATABASES):
        _service(group, cluster, service)
    probe = cluster.load_balancer.probe
    _primitive(group, cluster, f"lbhc-{probe.port}", "azure-lb", {"port": str(probe.port)})
    ip = cluster.ip_resource
    _primitive(resources, cluster, ip.tag, "IPaddr2", {"ip": str(ip.address), "cidr_netmask": str(ip.prefix), "nic": "eth1"})
    _constraints(xml.SubElement(configuration, "constraints"), cluster)
    defaults = xml.SubElement(xml.SubElement(configuration, "rsc_defaults"), "meta_attributes", id="rsc-options")
    xml.SubElement(defaults, "nvpair", id="rsc-options-resource-stickiness", name="resource-stickiness", value="1000")
    xml.SubElement(cib, "status")
    xml.indent(cib)
    return '<?xml version="1.0" ?>\n' + xml.tostring(cib, encoding="unicode") + "\n"


def _options(cluster: Cluster, *, fence_s: int) -> Mapping[str, str]:
    silence = cluster.manager.heartbeat_s * cluster.manager.heartbeats_missed
    return {
        "cluster-name": cluster.name,
        "stonith-enabled": "true",
        "stonith-timeout": f"{fence_s}s",
        "dc-deadtime": f"{max(2.0, silence):g}s",  # both nodes boot at once; the default would hold the first election back for 20 s
        "cluster-recheck-interval": "60s",
    }


def _fence(resources: xml.Element, cluster: Cluster, azure: Mapping[str, str] | None) -> None:
    """The device that cuts the peer's power: the lab's own, or Azure's API with the node's own identity."""
    device = xml.SubElement(resources, "primitive", {"id": FENCE, "class": "stonith", "type": AZURE_AGENT if azure else FENCE_AGENT})
    attributes = {"pcmk_host_check": "static-list", "pcmk_host_list": " ".join(n.name for n in cluster.nodes)}
    _attributes(device, "instance_attributes", FENCE, {**attributes, **({"msi": "true", **azure} if azure else {})})
    operations = xml.SubElement(device, "operations")
    limit = f"{AZURE_FENCE_TIMEOUT_S if azure else LAB_FENCE_TIMEOUT_S}s"
    xml.SubElement(operations, "op", id=f"{FENCE}-monitor", name="monitor", interval="60s", timeout=limit)


def _service(group: xml.Element, cluster: Cluster, service: Service) -> None:
    if service.kind == "postgres":
        return _postgres(group, cluster, service)
    module, protocol = STAND_INS[service.kind]
    command = f"-m harness.lab.services.{module} --port {service.port} --bind 0.0.0.0 --node $(hostname)"
    parameters = {
        "binfile": PYTHON,
        "cmdline_options": " ".join([command, *options_of(service)]),
        "logfile": f"/var/log/{service.name}.log",
        "stop_timeout": "10" if service.kind in DATABASES else "1",  # of seconds between SIGTERM and SIGKILL
        "monitor_hook": f"{monitor_hook.PATH} {protocol} {service.port} {check_limit(cluster):g} $__OCF_ACTION",
    }
    _primitive(group, cluster, service.tag, "anything", parameters)


def _postgres(group: xml.Element, cluster: Cluster, service: Service) -> None:
    binaries = server_binaries()
    parameters = {
        "pgctl": f"{binaries}/pg_ctl",
        "psql": f"{binaries}/psql",
        "pgdata": str(DATABASE),
        "pgport": str(service.port),
        "config": f"{DATABASE}/postgresql.conf",
        "socketdir": SOCKET_FOLDER,
        "logfile": f"/var/log/{service.name}.log",
    }
    primitive = _primitive(group, cluster, service.tag, "pgsql", parameters)
    for node in cluster.nodes:  # the server tells its node by cluster_name, so this parameter depends on the node
        start_options = f"-c listen_addresses=0.0.0.0 -c unix_socket_directories={SOCKET_FOLDER} -c cluster_name={node.name}"
        attributes = _attributes(primitive, "instance_attributes", f"{service.tag}-on-{node.name}", {"start_opt": start_options})
        rule = xml.Element("rule", id=f"{attributes.get('id')}-rule", score="INFINITY")
        xml.SubElement(rule, "expression", id=f"{attributes.get('id')}-is", attribute="#uname", operation="eq", value=node.name)
        attributes.insert(0, rule)
        primitive.remove(attributes)
        primitive.insert(0, attributes)


def _primitive(parent: xml.Element, cluster: Cluster, tag: str, agent: str, parameters: Mapping[str, str]) -> xml.Element:
    primitive = xml.SubElement(parent, "primitive", {"id": tag, "class": "ocf", "provider": "heartbeat", "type": agent})
    _attributes(primitive, "instance_attributes", tag, parameters)
    operations = xml.SubElement(primitive, "operations")
    for name, seconds in TIMEOUTS_S.items():
        xml.SubElement(operations, "op", id=f"{tag}-{name}", name=name, interval="0s", timeout=f"{seconds}s")
    interval = f"{round(cluster.manager.check_interval_s * 1000)}ms"
    xml.SubElement(operations, "op", id=f"{tag}-monitor", name="monitor", interval=interval, timeout="20s")
    return primitive


def _attributes(parent: xml.Element, kind: str, id: str, values: Mapping[str, str]) -> xml.Element:
    element = xml.SubElement(parent, kind, id=f"{id}-{kind}")
    for name, value in values.items():
        xml.SubElement(element, "nvpair", id=f"{id}-{kind}-{name}", name=name, value=value)
    return element


def _constraints(parent: xml.Element, cluster: Cluster) -> None:
    ip, group = cluster.ip_resource.tag, cluster.manager.resource
    home = {"id": "services-at-home", "rsc": group, "node": cluster.nodes[0].name, "score": "50"}  # far less than what keeps them
    xml.SubElement(parent, "rsc_location", home)
    together = {"id": "ip-with-services", "rsc": ip, "with-rsc": group, "score": "INFINITY"}
    xml.SubElement(parent, "rsc_colocation", together)
