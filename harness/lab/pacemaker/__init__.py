"""Debian's own Pacemaker and Corosync on the lab's nodes. Nothing of them is ours but their configuration and the fence device."""
