//! Throughput and latency through the edge, next to a plain reverse proxy in the same run.
