"""A stand-in for a Windows host: what its sshd starts for us takes the harness's own scripts, by their hash, and does them on Linux."""
