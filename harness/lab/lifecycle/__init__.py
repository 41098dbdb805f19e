"""Bringing a lab up and down from outside, its state, and its default cluster."""
