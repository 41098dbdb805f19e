"""The lab's stand-in for SQL Server: as much of TDS as real clients need, with the lab's PostgreSQL beneath. It is not SQL Server."""
