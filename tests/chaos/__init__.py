"""Tests of the chaos run: that its plan is its seed's, and that its observer can see."""
