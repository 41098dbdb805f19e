"""Azure Run Command as a transport to a host that SSH does not reach."""
