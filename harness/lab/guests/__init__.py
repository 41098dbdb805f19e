"""The lab's hosts: namespaces, provisioning, SSH proxies, shared disk, fencing."""
