"""Linux interfaces that the lab is made with: system calls, files in namespaces, nftables."""
