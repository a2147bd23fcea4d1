"""One effect each, safe to repeat, retried by kind of failure."""
