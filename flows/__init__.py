"""The order of things: each flow says which task follows which, and decides nothing itself."""
