"""A stand-in for LifeKeeper for Linux: it answers to the product's commands so that adapters and tests can be run offline.

It is not LifeKeeper and not by its vendor. The basis is facts/cluster-managers.md sections 2, 8, 9 and 10, cited by id, and
nothing else: a pass against it says nothing about the product. What it models and what not: docs/lifekeeper-stand-in.md.
Standard library only, for it runs as each lab node's own process and its commands must start fast.
"""

VERSION = "1"
STAND_IN = f"LifeKeeper stand-in {VERSION} for tests: not LifeKeeper, not by its vendor"
NOT_RUNNING = "LifeKeeper does not appear to be running."  # the one line that LKL-10 fixes
