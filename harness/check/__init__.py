"""What `lkharness check` does: one pass over paths and hosts, with findings; nothing is changed."""
