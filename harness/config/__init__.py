"""The cluster file: its schema, its loader and writer, and whether a person has agreed to what it asks for."""
