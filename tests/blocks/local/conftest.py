import pytest

pytest.register_assert_rewrite("tests.fakes.runner_contract")
