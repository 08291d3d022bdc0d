"""Load: campaigns against any target, and the benchmarks whose figures the documents quote."""
