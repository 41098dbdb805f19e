"""What is not as it should be, and what to do about it: judged from facts, by what they are about."""
