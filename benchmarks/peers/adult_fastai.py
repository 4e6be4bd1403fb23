"""fastai's tabular learner as its tutorial has it: seconds until the validation rows are told apart."""

from __future__ import annotations

import argparse
import json
import time
import warnings

import pandas as pd
from fastai.tabular.all import (
    Callback,
    Categorify,
    CategoryBlock,
    FillMissing,
    Normalize,
    RocAucBinary,
    TabularDataLoaders,
    set_seed,
    tabular_learner,
)


class Clock(Callback):
    """Notes the AUC of every epoch with its time, and the time of the training batches alone."""

    def before_fit(self) -> None:
        self.curve, self.busy, self.rows = [], 0.0, 0

    def before_train(self) -> None:
        self.began = time.time()

    def after_batch(self) -> None:
        if self.training:
            self.rows += len(self.yb[0])

    def after_train(self) -> None:
        self.busy += time.time() - self.began

    def after_epoch(self) -> None:
        self.curve.append((time.time(), float(self.recorder.values[-1][-1])))


class ClockAfterRecorder(Clock):
    order = 60  # the recorder, at 50, has the epoch's values by then


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--seed", type=int)
    words = parser.parse_args()
    warnings.filterwarnings("ignore")
    set_seed(words.seed, reproducible=True)
    began = time.time()
    frame = pd.read_csv(words.file)
    frame = frame[frame["split"] != "test"].reset_index(drop=True)
    validation = list(frame.index[frame.pop("split") == "validation"])
    text = [name for name in frame if name != "income" and not pd.api.types.is_numeric_dtype(frame[name])]
    loaders = TabularDataLoaders.from_df(
        frame,
        procs=[Categorify, FillMissing, Normalize],
        cat_names=text,
        cont_names=[name for name in frame if name not in {*text, "income"}],
        y_names="income",
        y_block=CategoryBlock(),
        valid_idx=validation,
        bs=words.batch,
    )
    learner = tabular_learner(loaders, metrics=RocAucBinary())
    prepared = time.time()
    clock = ClockAfterRecorder()
    with learner.no_bar(), learner.no_logging():
        learner.fit_one_cycle(words.epochs, lr_max=words.learning_rate, cbs=[clock])
    print(
        json.dumps(
            {
                "began": began,
                "preparation": prepared - began,
                "curve": [(when - began, auc) for when, auc in clock.curve],
                "rows_per_second": clock.rows / clock.busy,
            }
        )
    )


if __name__ == "__main__":
    main()
