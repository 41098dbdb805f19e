"""The ARM template of a cluster, its expressions worked out locally, and its prices."""
