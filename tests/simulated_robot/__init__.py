"""The simulated robot, seen through the SDK's own classes."""
