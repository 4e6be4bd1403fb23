"""One file a way to join several inputs."""
