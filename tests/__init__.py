"""Promises of NodeSet, in the words of its users."""

import gc

# The modules of the tests are 150,000 objects that live to the end: with Python's own thresholds a tenth of all time goes into
# looking through them again. Tests that need a circle gone collect it themselves.
gc.set_threshold(10_000, 50, 100)
