"""A dead man's switch on a host: an undo that the host carries out whatever becomes of the harness."""
