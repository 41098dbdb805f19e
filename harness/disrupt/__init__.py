"""One short file per disruption, registered by name."""
