"""Load of updates: PUT of these paths in turn, where the generator of wrk asks with GET and POST."""

from bench.wrk import Generator

_POSTS, _PUTS = 'wrk.format("POST", paths[1]', 'wrk.format("PUT", paths[number % #paths + 1]'


class Updates(Generator, frozen=True):
    """PUT of a body to these paths in turn; each `{}` in it becomes something that no other request has."""

    def _script(self) -> str:
        return super()._script().replace(_POSTS, _PUTS)
