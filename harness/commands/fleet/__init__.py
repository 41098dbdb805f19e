"""`lkharness fleet`: one command on many clusters, each its own process, run folder and lease; one page and one exit code."""
