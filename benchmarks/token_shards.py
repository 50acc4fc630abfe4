"""Token shards as this project writes them, from Parquet, in a process of its own.

`python benchmarks/token_shards.py IN.parquet OUT TOKENIZER_FOLDER`. Prints one JSON object like its
peer, `benchmarks/peers/datatrove_tokens.py`: processor seconds and the peak memory of the process.
"""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq

from training.shard_writer import Document, write_token_shards
from training.tokenizer import Encoder, tokenizer_digest


def main() -> None:
    """Write the shards and print what they cost."""
    source, out, folder = map(Path, sys.argv[1:4])
    encoder = Encoder(folder)

    def documents() -> Iterator[Document]:
        with pq.ParquetFile(source) as file:
            for batch in file.iter_batches(batch_size=256, columns=["id", "text"]):
                ids, texts = (column.to_pylist() for column in batch.columns)
                encoded = encoder.encode_batch(texts)
                for document_id, text, tokens in zip(ids, texts, encoded, strict=True):
                    yield document_id, len(text.encode()), tokens

    began = time.process_time()
    write_token_shards(
        documents(),
        out,
        vocab_size=encoder.vocab_size,
        eos_id=encoder.eos_id,
        tokenizer_digest=tokenizer_digest(folder),
    )
    seconds = time.process_time() - began
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    print(json.dumps({"seconds": seconds, "peak_kib": int(status["VmHWM"].split()[0])}))


if __name__ == "__main__":
    main()
