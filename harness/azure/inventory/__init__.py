"""What is configured in Azure, read and parsed into plain data."""
