"""What a Windows host does when it starts, before anything of ours can ask it: counts the boot, begins its stealth mode, takes up its
firewall's rules, leaves what was disabled disabled, and begins the tasks that have a trigger at boot."""

from __future__ import annotations

from pathlib import Path

from harness.lab.guests.windows import task_store, underlying_node
from harness.lab.guests.windows.stand_ins import adapter_scripts, firewall_scripts

DYNAMIC_PORTS = "49152 65535"  # Windows' own range


def main() -> None:
    """Once, at the start of the node."""
    underlying_node.STORE.mkdir(parents=True, exist_ok=True)
    underlying_node.write_whole(underlying_node.BOOTS, str(underlying_node.boot_number() + 1))
    Path("/proc/sys/net/ipv4/ip_local_port_range").write_text(DYNAMIC_PORTS)
    firewall_scripts.keep_silent()
    if firewall_scripts.rules():
        firewall_scripts.enforce()
    for device in adapter_scripts.disabled():
        underlying_node.run(["ip", "link", "set", device, "down"])
    if task_store.TASKS.exists():
        for task in task_store.TASKS.glob("lkharness-*"):
            task_store.start(task.name.removeprefix("lkharness-"))


if __name__ == "__main__":
    main()
