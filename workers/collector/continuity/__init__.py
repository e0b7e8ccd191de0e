"""Whether what was collected is all there was: gaps, their repair, coverage, and the watchdog."""
