"""What is done with stored runs: `lkharness report`, `judge` and `compare`."""
