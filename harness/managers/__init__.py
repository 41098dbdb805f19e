"""One file per cluster manager behind one small protocol."""
