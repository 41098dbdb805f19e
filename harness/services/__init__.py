"""One file per service kind: "who are you" and "is it really you"."""
