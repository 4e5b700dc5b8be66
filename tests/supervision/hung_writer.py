"""In the place of the process that writes post-mortem files: its disk does not answer. Only SIGKILL ends it.

And the end of whoever started it, as with the real one.
"""

import ctypes
import signal

ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
for number in (signal.SIGALRM, signal.SIGTERM, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
while True:
    signal.pause()
