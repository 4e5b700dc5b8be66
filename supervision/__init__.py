"""Starts, watches, kills and restarts the pipeline's processes, and says how they are.

`settings` and `lifeline` are what the children share with the supervisor: what a child is told, and how it answers.
Standard library and pydantic only: no camera driver, no gRPC, no numpy, so that nothing native can take it down.
"""
