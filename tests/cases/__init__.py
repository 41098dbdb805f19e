"""Broken clusters, as programs: each fault is made on a lab of its own, `lkharness check` is asked, and its answer judged."""
