"""How the machines that were made are reached: the way in from outside, and the keys that prove whom one talks to."""
