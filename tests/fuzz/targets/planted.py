"""A target that fails, to see that one which does is found and told of. It is not among those that are run."""

from tests.fuzz.targets.target import Target


def check(data: bytes) -> None:
    """Fail for what nobody comes upon by chance alone, and can be led to step by step."""
    if len(data) > 3 and data[0] == 0x7A and data[1] == 0x0D and data[2] == 0xE2:
        message = "This is the planted fault."
        raise ZeroDivisionError(message)


TARGET = Target(name="planted", check=check, seeds=(b"seed",))
