"""Tests of capture_worker: its parts, and whole worker processes with real rings."""
