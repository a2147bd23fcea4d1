"""The main job: a small network learns to read handwritten digits, and can be stopped at any time."""
