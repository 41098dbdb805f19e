"""State of the lab's Azure API: resources' ids, operations, faults, misconfigurations, tokens."""
