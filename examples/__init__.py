"""Programs to train, and files to start from."""
