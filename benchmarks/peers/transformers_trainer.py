"""Seconds of training steps with the Trainer of transformers.

Run by a Python that has transformers and accelerate: `python transformers_trainer.py SETTINGS`,
where SETTINGS is a JSON object: the configuration of a Llama, `batch_rows`, `context_tokens`,
`steps`, `warm_up` (steps that do not count), `num_threads`, `bf16`. Prints a JSON object with the
seconds on the clock and of the processor. Rows are random and in memory.
"""

import json
import sys
import tempfile
import time

import numpy as np
import torch
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)


def main() -> None:
    """Train and print what it took."""
    given = json.loads(sys.argv[1])
    torch.set_num_threads(given["num_threads"])
    marks: dict[int, tuple[float, float]] = {}

    class Mark(TrainerCallback):
        def on_step_end(self, args: object, state: object, control: object, **_: object) -> None:
            marks[state.global_step] = time.perf_counter(), time.process_time()  # type: ignore[attr-defined]

    shape = (given["steps"] * given["batch_rows"], given["context_tokens"])
    rows = torch.from_numpy(
        np.random.default_rng(0).integers(given["llama"]["vocab_size"], size=shape)
    )
    model = AutoModelForCausalLM.from_config(
        LlamaConfig(**given["llama"]), attn_implementation="sdpa"
    )
    with tempfile.TemporaryDirectory() as folder:
        Trainer(
            model=model,
            args=TrainingArguments(
                output_dir=folder,
                max_steps=given["steps"],
                per_device_train_batch_size=given["batch_rows"],
                learning_rate=1e-3,
                bf16=given["bf16"],
                use_cpu=True,
                report_to=[],
                save_strategy="no",
                logging_strategy="no",
                disable_tqdm=True,
            ),
            train_dataset=[{"input_ids": row, "labels": row} for row in rows],
            callbacks=[Mark()],
        ).train()
    first, last = marks[given["warm_up"]], marks[given["steps"]]
    print(json.dumps({"wall_seconds": last[0] - first[0], "seconds": last[1] - first[1]}))


if __name__ == "__main__":
    main()
