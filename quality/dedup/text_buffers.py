"""The bytes of an Arrow array of texts as the compiled kernels read them."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def text_buffers(texts: pa.Array) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Bytes of the texts and where each begins and the last one ends, shape (N + 1,); no copy.

    Args:
        texts: Strings (string, large_string or string_view); none is null.

    Raises:
        ValueError: The array holds something else, or a null.
    """
    if not (pa.types.is_string(texts.type) or texts.type in (pa.large_string(), pa.string_view())):
        raise ValueError(f"texts are {texts.type}, not strings; cast them first")
    if texts.null_count:
        raise ValueError(f"{texts.null_count} of {len(texts)} texts are null; put them aside first")
    array = texts if texts.type == pa.large_string() else texts.cast(pa.large_string())
    if len(array) == 0:
        return np.empty(0, dtype=np.uint8), np.zeros(1, dtype=np.int64)
    _, offsets, data = array.buffers()
    starts = np.frombuffer(offsets, dtype=np.int64)[array.offset : array.offset + len(array) + 1]
    if data is None or data.size == 0:
        return np.empty(0, dtype=np.uint8), starts
    return np.frombuffer(data, dtype=np.uint8), starts
