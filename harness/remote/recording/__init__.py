"""The data of one measurement as it is stored: samples, events, packets. Pure."""
