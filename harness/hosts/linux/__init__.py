"""What a Linux host tells, and the parsers of its tools' output."""
