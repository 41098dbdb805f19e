"""One short file per disruption: what is defined in a file here, or below, is found."""
