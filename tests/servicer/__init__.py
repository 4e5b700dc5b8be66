"""The servicer: real rings, a real gRPC server, real SDK clients and a simulated robot."""
