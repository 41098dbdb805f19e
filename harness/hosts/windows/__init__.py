"""What a Windows host tells through PowerShell, and the parsers of that."""
