"""`python -m benchmarks`: run every benchmark and print its table."""

from . import latency

if __name__ == "__main__":
    latency.main()
