"""Logging in to Azure, the API clients, errors, polling, and the runner of operations that change something."""
