"""A real Kubernetes for the tests: built from pinned sources, started on loopback, left without trace."""
