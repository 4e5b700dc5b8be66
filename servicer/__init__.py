"""Serves the newest frames as `bosdyn.api.ImageService`, and keeps the robot informed.

`process` ties it together; `image_service` answers requests; `robot_link` talks to the robot in a thread of its
own, so that no call to the robot is ever made on behalf of a client.
"""
