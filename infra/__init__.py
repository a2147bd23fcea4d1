"""What must exist: manifests, images, dashboards, and a real cluster for the tests."""
