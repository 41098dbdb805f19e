"""What `lkharness explain` tells: why a stored run is as it is, and what a capture of packets shows."""
