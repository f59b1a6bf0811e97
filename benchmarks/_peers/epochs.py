"""How many epochs a training has when its CPU time is given. Needs no package."""

from __future__ import annotations

from typing import NamedTuple

_MANY = 1000


class Epochs(NamedTuple):
    """How many epochs are left, and how many steps the next one has."""

    left: int
    steps: int


def plan_epochs(*, spent: float, left: float, steps: int, in_epoch: int) -> Epochs | None:
    """Returns the epochs that use what is left of the CPU time; None if that is too little.

    Before the first epoch the time of a step is unknown. Many epochs are then taken to be left, so
    that the learning rate is at its highest.

    Args:
        spent: CPU seconds of the epochs until now.
        left: CPU seconds that are left.
        steps: Steps until now.
        in_epoch: Steps that an epoch should have, more or less.
    """
    if not steps:
        return Epochs(_MANY, in_epoch)
    possible = int(left * steps / spent)
    if possible < max(1, in_epoch / 2):
        return None
    epochs = max(1, round(possible / in_epoch))
    return Epochs(epochs, possible // epochs)
