"""Benchmarks: one script a claim, both sides in one run, ratios with their spread."""
