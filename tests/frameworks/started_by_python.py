"""A script that Lightning starts again as rank 1 of 2, as it does with `python script.py`; the chain is made before."""

import json
import sys
import warnings
from pathlib import Path

import lightning_rows
import loops

if __name__ == "__main__":
    folder, url = sys.argv[1:]
    warnings.simplefilter("ignore")
    chain, model = loops.mixed(url, ranks=2), lightning_rows.Model()
    trainer = lightning_rows.trainer(folder, {"max_epochs": 1}, ranks=2)
    trainer.fit(model, chain, loops.evaluated(url, ranks=2))
    Path(f"{folder}/{trainer.global_rank}.json").write_text(json.dumps(model.seen))
