"""What sending and ticking cost, measured on this machine: `python -m benchmarks [names…] [--quick]`."""
