"""How a test starts pytest as a process of its own."""

PYTEST = ("-m", "pytest", "-p", "no:cacheprovider", "-p", "no:hypothesispytest")  # hypothesis costs half a second and is not used there
