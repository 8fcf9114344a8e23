"""How well `Classifier` learns intents from few examples: accuracy, calibration (ECE, 15 bins), out-of-scope AUROC.

    python benchmarks/intents.py --data DIR

DIR holds `banking77/fewshot.jsonl` and `clinc150/fewshot.jsonl`: lines of {"text", "label", "split"} with the splits
train_5, train_10, test and, where there are requests outside of all intents, oos_test.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

from bottega.models.classifier import Classifier, words_of
from bottega.models.encoder import open_encoder
from bottega.models.training.measures import auroc, calibration_error


def main() -> None:
    """Prints one line a set and number of examples."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    args = parser.parse_args()
    encoder = open_encoder()
    print(f"{'set':<12}{'shots':>6}{'accuracy':>10}{'names only':>12}{'ECE':>7}{'OOS AUROC':>11}{'fit, s':>8}")
    for name in ("banking77", "clinc150"):
        rows = [json.loads(line) for line in (args.data / name / "fewshot.jsonl").read_text("utf-8").splitlines()]
        test = [row for row in rows if row["split"] == "test"]
        outside = [row["text"] for row in rows if row["split"] == "oos_test"]
        vectors = encoder.embed([row["text"] for row in test])
        far = encoder.embed(outside) if outside else None
        gold = np.array([row["label"] for row in test])
        for shots in (5, 10):
            given = [row for row in rows if row["split"] == f"train_{shots}"]
            begin = time.perf_counter()
            model = Classifier.fit([row["text"] for row in given], [row["label"] for row in given])
            seconds = time.perf_counter() - begin
            p, labels = model.probabilities(vectors), np.array(model.labels)
            right = labels[p.argmax(1)] == gold
            named = labels[(vectors @ encoder.embed([words_of(label) for label in labels]).T).argmax(1)] == gold
            oos = f"{100 * auroc(model.energies(vectors), model.energies(far)):.1f}" if far is not None else "-"
            ece = 100 * calibration_error(p.max(1), right)
            line = f"{100 * right.mean():>10.1f}{100 * named.mean():>12.1f}{ece:>7.1f}"
            print(f"{name:<12}{shots:>6}{line}{oos:>11}{seconds:>8.1f}", flush=True)


if __name__ == "__main__":
    main()
