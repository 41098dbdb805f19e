"""Options of Pacemaker's by which it finds, or recovers, less than people expect: probes at a node's start, what is found on both nodes,
a fence device that is not asked or not tried again, and rules by time without a look at the clock. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from xml.etree import ElementTree as xml

from harness.diagnosis.host_config.manager_settings import FALSE, Setting, seconds_of
from harness.diagnosis.host_config.pacemaker_cib import options as options_of
from harness.diagnosis.host_config.pacemaker_cib import pairs_of, root_of

LEFT = {"block": "it is left on both, and managed no more", "stop_only": "it is stopped on both, and started on neither"}


def of_pacemaker(configuration: str) -> tuple[Setting, ...]:
    """Nothing from what is no CIB."""
    root = root_of(configuration)
    return () if root is None else (*_options(root), *_on_both(root), *_fence_devices(root))


def _options(root: xml.Element) -> Iterator[Setting]:
    options = options_of(root)
    if options.get("enable-startup-probes", "").lower() in FALSE:
        yield Setting(
            "enable-startup-probes is off: Pacemaker does not look what runs already on a node that starts, and may start a second one "
            "of it elsewhere",
            f"the cluster's properties: enable-startup-probes={options['enable-startup-probes']}",
            "switch enable-startup-probes on (its default)",
        )
    recheck = options.get("cluster-recheck-interval", "")
    if recheck and seconds_of(recheck) == 0:
        by_time = [f"the rule {date.get('id')}" for date in root.iterfind("configuration//date_expression[@operation='date_spec']")]
        timeouts = [v.get("value", "") for v in root.iterfind("configuration//nvpair[@name='failure-timeout']")]
        by_time += ["failure-timeout (before Pacemaker 2.0.3)"] if any(seconds_of(value) for value in timeouts) else []
        if by_time:
            yield Setting(
                f"cluster-recheck-interval is 0: {', '.join(by_time)} may take no effect before something else happens in the cluster",
                f"the cluster's properties: cluster-recheck-interval={recheck}",
                "take cluster-recheck-interval away (its default is 15 minutes)",
                mild=True,
            )


def _on_both(root: xml.Element) -> Iterator[Setting]:
    """Of each resource its own word, else its group's, else the default."""
    default = pairs_of(root, "configuration/rsc_defaults/meta_attributes").get("multiple-active", "")
    parents = {child: parent for parent in root.iter() for child in parent}
    tags: dict[str, list[str]] = defaultdict(list)
    for primitive in root.iterfind("configuration/resources//primitive"):
        if primitive.get("class") == "stonith" or parents[primitive].tag in ("clone", "master", "bundle"):
            continue
        own, of_group = (pairs_of(e, "meta_attributes").get("multiple-active", "") for e in (primitive, parents[primitive]))
        tags[(own or of_group or default).lower()].append(primitive.get("id", ""))
    for word, does in LEFT.items():
        if word in tags:
            yield Setting(
                f"multiple-active is {word} for {', '.join(tags[word])}: if it is ever found on both nodes, {does}, until somebody "
                "sees to it",
                f"the configuration: {', '.join(tags[word])}, meta-attribute multiple-active={word}",
                "take multiple-active away (its default stops it on both, and starts it on one), unless somebody is meant to look first",
                tags[word][0],
                mild=True,
            )


def _fence_devices(root: xml.Element) -> Iterator[Setting]:
    for device in root.iterfind("configuration/resources//primitive[@class='stonith']"):
        tag, parameters = device.get("id", ""), pairs_of(device, "instance_attributes")
        if parameters.get("pcmk_host_check", "").lower() == "none":
            yield Setting(
                f"the fence device {tag} has pcmk_host_check=none: it is taken to be able to fence every node, whatever its list, its map "
                "or the device itself says",
                f"the configuration: {tag}, pcmk_host_check=none",
                f"take pcmk_host_check away from {tag} where it has pcmk_host_list or pcmk_host_map, or tells its nodes itself",
                mild=True,
            )
        for name in ("pcmk_reboot_retries", "pcmk_off_retries"):
            if parameters.get(name, "").strip() == "0":
                yield Setting(
                    f"the fence device {tag} has {name}=0: a fencing that fails at first, as on a busy management API, is not tried again",
                    f"the configuration: {tag}, {name}=0",
                    f"take {name} away from {tag} (its default is 2)",
                    mild=True,
                )
