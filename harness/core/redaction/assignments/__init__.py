"""Secrets that are assigned to a name: `DB_PASSWORD=…`, `password: |`, `{"name": "token", "value": …}`."""
