"""Rows and packet lines of the timeline chart. Pure."""
