"""Build the sides, run the cases, judge and record them."""
