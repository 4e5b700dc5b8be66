"""The bench: the same clients and the same cameras against the SDK's image service, this pipeline and a ceiling.

All in one run and in turn, because what a machine manages drifts by a factor of two between occasions: figures are
compared with those that were taken seconds before, and their spread over the repeats is the noise. Each server is
stopped (SIGSTOP) while another one is measured.
"""
