"""Evidence for support: what all hosts of a cluster say at one time, in one archive without secrets."""
