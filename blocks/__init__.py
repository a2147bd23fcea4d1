"""The outside world, one client each. Vendor errors are translated here and nowhere else."""
