"""A chaos run: a whole pipeline, eight clients, a random fault every second or two, and an observer who judges.

Everything in here stands outside of the pipeline: it sees pictures, processes, segments, the log and the robot, and
believes nothing that the pipeline says about itself where it can look for itself.
"""
