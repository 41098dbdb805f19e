"""Rules on what the hosts would do at their next boot that they do not do now."""
