"""Measuring a disruption: the meter, its calibration, write durability, and the evaluation of recordings."""
