"""The fault matrix: what is broken on purpose, with real processes, and what must hold all the same."""
