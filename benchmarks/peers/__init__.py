"""Other queues in Postgres beside ours, in an environment of their own: `python -m benchmarks peers`."""
