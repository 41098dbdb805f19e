"""Azure: logging in, reading what is configured, judging it. The only room that knows the Azure packages, and only on use.

Everything here that imports `azure.…` does so inside a function: a harness without an `[azure]` table never loads them.
"""
