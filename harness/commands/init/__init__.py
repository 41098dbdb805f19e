"""`lkharness init`: from a person's answers, or from what Azure knows."""
