"""Can a Windows host write where everything writes? Looked at without writing anything, as `linux_disk_space` does on Linux."""

from __future__ import annotations

from harness.hosts.host import Host
from harness.hosts.windows.windows_host import WindowsHost
from harness.hosts.windows.windows_parse import HostAbout

MIN_FREE_BYTES = 16 * 1024 * 1024  # less than this is nothing to event logs and to what PowerShell writes when it starts (WHST-43)


def windows_disk_problems(host: Host) -> list[str]:
    """What keeps programs there from writing; sentences without the host's name. Raises what `WindowsHost.about` raises."""
    return judge_free_space(WindowsHost(host).about())


def judge_free_space(host_about: HostAbout) -> list[str]:
    """Pure. What a host does not tell is no trouble."""
    if host_about.temp_free is None or host_about.temp_free >= MIN_FREE_BYTES:
        return []
    return [f"the drive of its temporary files is full: {host_about.temp_free // 1024} kB are left"]
