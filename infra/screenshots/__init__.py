"""Pictures of the user interface for the documents, taken by a real browser."""
