"""The verbs of `lkharness lab`, and `lkharness doctor`, which says what a machine lacks for a lab."""
