"""The verbs of `lkharness lab`."""
