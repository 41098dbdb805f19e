"""The subcommands of `lkharness`, one file per group. Only argparse is imported at their top."""
