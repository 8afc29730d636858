from tests.runtime.corrections.conftest import mapped, picture, placed

__all__ = ["mapped", "picture", "placed"]
