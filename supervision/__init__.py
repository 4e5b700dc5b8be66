"""Starts, watches, kills and restarts the pipeline's processes, and says how they are.

The loop, from the outside in:

    cli            arguments → settings → one call; what a person must know becomes one line and an exit code
    flags, configuration, checks, room, route, discovery   TOML and flags → `settings`, all mistakes found at the start
    calibration    camera models from the files of ROS and OpenCV      small_file   what people named
    loop           start what is due, read reports, kill what broke its promise, reap
    crew           who is run for the settings, in which order, with which configuration line
    child          one child's life: promise, end, next start      health   what it said about itself
    process        one process as the kernel sees it         reports, logs   its two pipes (without secrets: masking)
    leftovers      processes of an earlier run                     memory   a child that uses too much
    post_mortem, end_report   the file about a process that died   post_mortem_writer   the process that writes it
    notify         what a service manager hears
    display, status   the board for people and programs            output, sparing, line_budget   few lines, none blocks

What the children import is `lifeline` (their end of the pipes), `settings` and `exit_codes`.
Standard library, pydantic and a YAML reader only: no camera driver, no gRPC, no numpy, so that nothing native can
take it down.
"""
