"""Measures the program from outside, over HTTP, as it runs in production; `python -m benchmarks`."""
