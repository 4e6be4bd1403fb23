"""What everything else stands on: errors, registries, random streams, hashes, paths and devices."""
