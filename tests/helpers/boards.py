"""Changed boards."""


def with_heat(board, heat, **changes):
    """Return the board with a changed heat."""
    return board._replace(heats=tuple(each._replace(**changes) if each is heat else each for each in board.heats))
