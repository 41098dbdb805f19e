"""Communication paths between the nodes."""
