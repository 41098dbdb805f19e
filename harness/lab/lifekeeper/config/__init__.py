"""The LifeKeeper stand-in's structure file and tunables."""
