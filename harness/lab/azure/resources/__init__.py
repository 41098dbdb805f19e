"""The resource providers of the lab's Azure API, one file per type."""
