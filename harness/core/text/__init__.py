"""Texts: what hosts say made fit to be shown (host_text), and how figures are said (wording)."""
