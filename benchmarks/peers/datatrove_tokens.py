"""Token shards as datatrove writes them, from Parquet.

Run by the peer's own Python: `python datatrove_tokens.py IN.parquet OUT TOKENIZER.json`. Prints one
JSON object: processor seconds of the step, imports and the loading of the tokenizer left out, and
the peak memory of the whole process.
"""

import json
import sys
import time
from pathlib import Path

from datatrove.pipeline.readers import ParquetReader
from datatrove.pipeline.tokens import DocumentTokenizer


def main() -> None:
    """Write the shards and print what they cost."""
    source, out, tokenizer = map(Path, sys.argv[1:4])
    step = DocumentTokenizer(
        str(out),
        str(tokenizer),
        eos_token="<|endoftext|>",
        shuffle_documents=False,
        save_final_metadata=False,
    )
    step.tokenizer.encode("warm")
    began = time.process_time()
    step.run(ParquetReader(str(source.parent), glob_pattern=source.name).run())
    seconds = time.process_time() - began
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    print(json.dumps({"seconds": seconds, "peak_kib": int(status["VmHWM"].split()[0])}))


if __name__ == "__main__":
    main()
