"""The rules, one file for each family, in rooms. A module below with a function `causes(evidence)` is found by being there."""
