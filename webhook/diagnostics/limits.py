"""Limits of characters that are shown of strings that any user of the cluster may have written."""

#: A name, a label's value or a hash. Valid names of containers and values of labels are not longer.
NAME = 63
IMAGE = 400
#: A message of the API server.
MESSAGE = 300
#: The cause of a failed pull, as the container runtime reports it.
CAUSE = 160
