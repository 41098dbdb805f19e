"""SQL Server's protocol, sessions and table of tokens."""
