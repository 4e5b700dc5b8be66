"""The whole pipeline on a real V4L2 driver: the kernel's vivid, in the machine of tools/vivid-vm (`make test-v4l2`)."""
