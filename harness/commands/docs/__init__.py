"""What the product publishes about itself: `lkharness fact` and `schema`."""
