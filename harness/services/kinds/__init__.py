"""One file per service kind: the file's name (`-` for `_`) is its `kind` in the cluster file."""
