"""One process, one camera, one ring: open, capture, publish, beat.

Crash-only: there is no code here that reconnects. A camera that stops delivering ends the process with an error
report, and the supervisor starts it again. `pattern` (numpy only) is for everybody who wants to prove that an image
arrived whole.
"""
