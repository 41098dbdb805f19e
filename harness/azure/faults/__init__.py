"""What Azure can do to a node, and the undoing of it, marked by tags on the resources."""
