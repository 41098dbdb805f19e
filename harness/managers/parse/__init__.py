"""Parsers of what cluster managers' tools print. Pure; no text makes them raise."""
