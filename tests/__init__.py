"""Tests of the pipeline: a folder per package, `end_to_end` for all of them together."""
