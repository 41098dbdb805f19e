"""Limits of the kernel that a service may need, and which of two hosts' values is lower by far. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

# Limits of the kernel, each number of them with how much is enough for nearly everybody: what is below a tenth of the active node's, or of
# that, is told. Distributions' own defaults are enough, or alike on two nodes of one kind.
MIN_KERNEL_LIMITS: Mapping[str, tuple[int, ...]] = {
    "kernel.shmmni": (4096,),
    "kernel.shmmax": (1 << 36,),
    "kernel.shmall": (1 << 24,),
    "kernel.sem": (250, 32000, 32, 128),
    "fs.file-max": (1_000_000,),
    "fs.aio-max-nr": (1 << 20,),
    "vm.nr_hugepages": (1 << 62,),
    "net.core.somaxconn": (128,),
}
USED_FOR = {
    "kernel.shmmni": "segments of System V shared memory",
    "kernel.shmmax": "bytes of one segment of System V shared memory",
    "kernel.shmall": "pages of System V shared memory",
    "kernel.sem": "System V semaphores",
    "fs.file-max": "open files of the whole host",
    "fs.aio-max-nr": "asynchronous reads and writes",
    "vm.nr_hugepages": "huge pages",
    "net.core.somaxconn": "connections that may wait to be accepted",
    "net.ipv4.ip_local_port_range": "ephemeral ports",
}


def is_far_lower(name: str, here: str, there: str) -> bool:
    """Is one of the numbers of `there`, the standby's, below a tenth of the active node's, or of what is enough?"""
    ours, theirs = _numbers(name, here), _numbers(name, there)
    enough = MIN_KERNEL_LIMITS.get(name, (28_000,))
    return any(10 * b < min(a, most) for a, b, most in zip(ours, theirs, enough, strict=False))


def _numbers(name: str, value: str) -> Sequence[int]:
    words = value.split()
    if not words or not all(word.isdigit() for word in words):
        return ()
    numbers = [int(word) for word in words]
    return [numbers[1] - numbers[0] + 1] if name.endswith("ip_local_port_range") and len(numbers) == 2 else numbers
