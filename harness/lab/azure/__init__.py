"""The lab's ARM stand-in: Azure's management API over HTTPS, for rehearsing what drives and reads a real Azure cluster.

A process of its own beside the lab. What it says is the lab's true state, asked at that moment; what it is told happens in the
lab. It is a stand-in made for tests: nothing here was ever compared with a live Azure, only with its published wire format.
"""
