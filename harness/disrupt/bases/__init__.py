"""The common parts of disruptions. No file here is a disruption of its own."""
