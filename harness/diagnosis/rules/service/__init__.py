"""Rules on the services themselves: what they say, and who listens at their ports."""
