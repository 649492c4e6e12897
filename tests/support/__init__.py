"""What tests share. Its asserts explain themselves like those of the tests."""

import pytest

pytest.register_assert_rewrite("tests.support.clients", "tests.support.matrix", "tests.support.published")
