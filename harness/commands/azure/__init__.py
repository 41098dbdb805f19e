"""The verbs of `lkharness azure`, one file each."""
