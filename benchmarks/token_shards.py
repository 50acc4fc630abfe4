"""Token shards as this project writes them, from Parquet, in a process of its own.

`python benchmarks/token_shards.py IN.parquet OUT TOKENIZER_FOLDER`. Prints one JSON object like its
peer, `benchmarks/peers/datatrove_tokens.py`: processor seconds and the peak memory of the process.
"""

import json
import sys
import time
from pathlib import Path

from orchestration.token_writing import write_tokens
from quality.documents_on_disk import open_documents
from training.text_encoding import large_strings
from training.tokenizer import Encoder


def main() -> None:
    """Write the shards and print what they cost."""
    source, out, folder = map(Path, sys.argv[1:4])
    Encoder(folder).encode_texts(large_strings(["warm"]))
    began = time.process_time()
    write_tokens(open_documents(str(source)), folder, out)
    seconds = time.process_time() - began
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    print(json.dumps({"seconds": seconds, "peak_kib": int(status["VmHWM"].split()[0])}))


if __name__ == "__main__":
    main()
