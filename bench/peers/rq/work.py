"""The task of the RQ contender; a worker imports it by this name."""


def nothing(body: str) -> None:
    """Takes its payload and does nothing with it."""
