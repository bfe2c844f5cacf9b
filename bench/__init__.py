"""Benchmarks: ratios measured in one run on one machine. See README.md beside this file."""
