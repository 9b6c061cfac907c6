"""Measure on this machine what sending and ticking cost: `python -m benchmarks [names…] [--quick]`."""
