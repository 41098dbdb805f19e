"""What `.ci/run` and `./run deep` do: run parts one after the other, and tell what each found and took (docs/testing.md)."""
