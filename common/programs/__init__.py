"""The programs, written once for all data sets; the only place that reads flags."""
