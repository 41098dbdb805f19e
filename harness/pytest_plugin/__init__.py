"""The pytest plug-in: options, the session, the `cluster` fixture, the measurements of a session."""
