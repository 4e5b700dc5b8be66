"""Tests of the bench: that it measures what it says, and judges as it says. None of them asserts a time."""
