"""Hosts that are virtual machines under QEMU: driver, command line, QMP, acceleration, what is laid over the image."""
