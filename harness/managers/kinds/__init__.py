"""One adapter per cluster manager: the file's name (`-` for `_`) is its `kind` in the cluster file."""
