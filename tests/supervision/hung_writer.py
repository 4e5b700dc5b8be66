"""In the place of the process that writes post-mortem files: its disk does not answer. Only SIGKILL ends it."""

import signal

for number in (signal.SIGALRM, signal.SIGTERM, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
while True:
    signal.pause()
