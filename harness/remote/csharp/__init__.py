"""Programs in C#, for Windows hosts without Python: each is sent as one text, which PowerShell compiles there, and Mono in the lab."""
