"""The filter chain of FineWeb as datatrove runs it, Parquet to Parquet with rejects.

Run by the peer's own Python: `python datatrove_filters.py IN.parquet OUT`. Prints one JSON object:
the processor seconds of the steps, imports and the loading of the word splitter left out, and
the peak memory of the whole process.
"""

import json
import sys
import time
from pathlib import Path

from datatrove.data import Document
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)
from datatrove.pipeline.readers import ParquetReader
from datatrove.pipeline.writers import ParquetWriter


def main() -> None:
    """Run the chain and print what it cost."""
    source, out = Path(sys.argv[1]), Path(sys.argv[2])

    def rejects(name: str) -> ParquetWriter:
        return ParquetWriter(str(out / "rejected" / name), compression="zstd")

    chain = [
        GopherRepetitionFilter(exclusion_writer=rejects("gopher_repetition")),
        GopherQualityFilter(exclusion_writer=rejects("gopher_quality")),
        C4QualityFilter(filter_no_terminal_punct=False, exclusion_writer=rejects("c4")),
        FineWebQualityFilter(exclusion_writer=rejects("fineweb")),
    ]
    warm = "The first of the words. " * 20
    for step in chain:
        step.filter(Document(text=warm, id="warm"))
    began = time.process_time()
    documents = ParquetReader(str(source.parent), glob_pattern=source.name).run()
    for step in chain:
        documents = step.run(documents)
    for _ in ParquetWriter(str(out / "kept"), compression="zstd").run(documents):
        pass
    seconds = time.process_time() - began
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    print(json.dumps({"seconds": seconds, "peak_kib": int(status["VmHWM"].split()[0])}))


if __name__ == "__main__":
    main()
