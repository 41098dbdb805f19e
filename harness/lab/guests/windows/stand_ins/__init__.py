"""What each of the harness's Windows scripts does on the Linux node beneath, one file for each family of scripts."""
