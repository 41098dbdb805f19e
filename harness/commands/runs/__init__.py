"""What is done with stored runs: `lkharness explain`, `report`, `judge` and `compare`."""
