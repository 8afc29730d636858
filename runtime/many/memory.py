"""Was it the machine's memory that ran out? Libraries say so in ways of their own."""

from __future__ import annotations

import errno

_OPENCV_NO_MEMORY = -4  # cv::Error::StsNoMem
_GDAL_NO_MEMORY = "CPLE_OutOfMemoryError"


def out_of_memory(error: BaseException) -> bool:
    """Of an error, or of what it was raised from."""
    seen: list[BaseException] = []
    each: BaseException | None = error
    while each is not None and each not in seen:
        if (
            isinstance(each, MemoryError)
            or getattr(each, "errno", None) == errno.ENOMEM
            or (type(each).__name__ == "error" and getattr(each, "code", 0) == _OPENCV_NO_MEMORY)
            or type(each).__name__ == _GDAL_NO_MEMORY
        ):
            return True
        seen.append(each)
        each = each.__cause__ or each.__context__
    return False
