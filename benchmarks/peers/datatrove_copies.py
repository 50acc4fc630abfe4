"""Deduplication as datatrove does it, Parquet to Parquet with the removed documents.

Run by the peer's own Python: `python datatrove_copies.py IN.parquet OUT exact|minhash`. Prints one
JSON object: the processor seconds of all steps, imports and the loading of the word splitter left
out, and the peak memory of the whole process.
"""

import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from datatrove.data import Document
from datatrove.pipeline.dedup import (
    ExactDedupFilter,
    ExactDedupSignature,
    ExactFindDedups,
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)
from datatrove.pipeline.dedup.exact_dedup import ExactDedupConfig
from datatrove.pipeline.readers import ParquetReader
from datatrove.pipeline.writers import ParquetWriter


def _text(document: Document) -> str:
    return document.text


def _write(documents: Iterable[Document], out: Path) -> None:
    for _ in ParquetWriter(str(out / "kept"), compression="zstd").run(documents):
        pass


def main() -> None:
    """Deduplicate and print what it cost."""
    source, out, method = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]

    def documents() -> Iterable[Document]:
        return ParquetReader(str(source.parent), glob_pattern=source.name).run()

    removed = ParquetWriter(str(out / "removed"), compression="zstd")
    signatures, duplicates, clusters = (str(out / name) for name in ("sig", "dup", "clusters"))
    if method == "minhash":
        sign = MinhashDedupSignature(signatures)
        sign.get_shingles("The first of the words. " * 20)
        began = time.process_time()
        sign.run(documents())
        for bucket in range(14):
            MinhashDedupBuckets(signatures, duplicates).run(rank=bucket, world_size=14)
        MinhashDedupCluster(duplicates, clusters).run()
        _write(MinhashDedupFilter(clusters, exclusion_writer=removed).run(documents()), out)
    else:
        config = ExactDedupConfig(content_getter=_text)
        began = time.process_time()
        ExactDedupSignature(signatures, config).run(documents())
        ExactFindDedups(signatures, duplicates, config).run()
        _write(ExactDedupFilter(duplicates, config, removed).run(documents()), out)
    seconds = time.process_time() - began
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    print(json.dumps({"seconds": seconds, "peak_kib": int(status["VmHWM"].split()[0])}))


if __name__ == "__main__":
    main()
