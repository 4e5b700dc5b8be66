"""The whole pipeline: real processes, real shared memory, real gRPC, the SDK's own clients."""
