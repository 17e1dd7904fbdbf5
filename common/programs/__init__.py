"""The programs, each written once for all data sets. No other code reads flags."""
