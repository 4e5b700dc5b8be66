"""The shared memory under test: layout, order of accesses, rings, boards, and processes that die."""
