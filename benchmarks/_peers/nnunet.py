"""nnU-Net v2, 2D: its own plan, augmentation, trainer, loss and prediction, on the CPU.

Differences from `nnUNetv2_train`: the batch is smaller and an epoch shorter, so that a CPU gets
through enough steps and epochs. The number of epochs is set anew after each one, by the CPU time
that they took, so that the learning rate comes to its end within the budget. Runs in the peers'
interpreter.
"""

from __future__ import annotations

import importlib.metadata
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks._peers.epochs import plan_epochs
from benchmarks._peers.job import ANSWERED, DATASET, Job, cpu_seconds, main, read_slices

SPACING = (999, 1, 1)  # as nnU-Net's reader of PNG files has it
_CONFIGURATION, _PLANS = "2d", "nnUNetPlans"
_CHECKPOINTS = ("checkpoint_final.pth", "checkpoint_latest.pth", "checkpoint_best.pth")


def prepare(job: Job) -> None:
    """Lets nnU-Net look at the slices, plan and preprocess; nothing if that is done."""
    _set_up(job)
    done = _prepared(job) / "done"
    if done.exists():
        return
    from nnunetv2.experiment_planning import plan_and_preprocess_api as api

    api.extract_fingerprints([1], num_processes=job.threads, check_dataset_integrity=True)
    api.plan_experiments([1])
    api.preprocess([1], _PLANS, (_CONFIGURATION,), (job.threads,))
    done.touch()


def train(job: Job) -> None:
    """Trains epoch by epoch until the CPU time is nearly spent."""
    _set_up(job)
    torch.manual_seed(job.seed)
    np.random.seed(job.seed)  # noqa: NPY002 (it is what nnU-Net's loader draws from)
    os.environ["nnUNet_n_proc_DA"] = "0"  # it augments in this process: none works ahead or waits
    trainer = _trainer(job)
    trainer.save_every = 10
    trainer.on_train_start()
    epochs, steps = _train(trainer, job)
    trainer.on_train_end()
    job.tell(
        steps=steps,
        epochs=epochs,
        batch=trainer.batch_size,
        patch=list(trainer.configuration_manager.patch_size),
        last_learning_rate=trainer.optimizer.param_groups[0]["lr"],
        versions={name: importlib.metadata.version(name) for name in ("torch", "nnunetv2")},
    )


def _train(trainer: Any, job: Job) -> tuple[int, int]:
    """Does what `nnUNetTrainer.run_training` does; returns the numbers of epochs and of steps."""
    begun, steps = cpu_seconds(), 0
    while epochs := plan_epochs(
        spent=cpu_seconds() - begun,
        left=job.end - cpu_seconds(),
        steps=steps,
        in_epoch=job.options["steps"],
    ):
        trainer.num_epochs = trainer.lr_scheduler.max_steps = trainer.current_epoch + epochs.left
        trainer.on_epoch_start()
        trainer.on_train_epoch_start()
        trainer.on_train_epoch_end(
            [trainer.train_step(next(trainer.dataloader_train)) for _ in range(epochs.steps)]
        )
        with torch.no_grad():
            trainer.on_validation_epoch_start()
            trainer.on_validation_epoch_end([trainer.validation_step(next(trainer.dataloader_val))])
        trainer.on_epoch_end()
        steps += epochs.steps
    return trainer.current_epoch, steps


def predict(job: Job) -> None:
    """Writes the probabilities of validation and test slices."""
    _set_up(job)
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    results = job.folder / "results" / DATASET / f"nnUNetTrainer__{_PLANS}__{_CONFIGURATION}"
    found = [name for name in _CHECKPOINTS if (results / "fold_0" / name).is_file()]
    if not found:
        raise RuntimeError("nnU-Net saved no weights: its budget is too small for an epoch")
    predictor.initialize_from_trained_model_folder(str(results), (0,), found[0])
    for use in ANSWERED:
        images = read_slices(job.handed, use).images
        said = [_probs(predictor, image) for image in images]
        job.save_answers(use, np.stack(said)[:, 1:])


def _probs(predictor: Any, image: np.ndarray) -> np.ndarray:
    """Returns the probabilities of one slice, shape (1 + K, S, S)."""
    pixels = image.transpose(2, 0, 1)[:, None].astype(np.float32)
    _, probs = predictor.predict_single_npy_array(
        pixels, {"spacing": SPACING}, None, None, save_or_return_probabilities=True
    )
    return probs[:, 0]


def _trainer(job: Job) -> Any:
    from batchgenerators.utilities.file_and_folder_operations import load_json
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    prepared = _prepared(job)
    plans = load_json(str(prepared / f"{_PLANS}.json")) | {"continue_training": False}
    if job.options["batch"]:
        plans["configurations"][_CONFIGURATION]["batch_size"] = job.options["batch"]
    return nnUNetTrainer(
        plans=plans,
        configuration=_CONFIGURATION,
        fold=0,
        dataset_json=load_json(str(prepared / "dataset.json")),
        device=torch.device("cpu"),
    )


def _prepared(job: Job) -> Path:
    return job.handed / "preprocessed" / DATASET


def _set_up(job: Job) -> None:
    """Sets nnU-Net's folders and processes."""
    torch.set_num_threads(job.threads)
    os.environ |= {
        "nnUNet_raw": str(job.handed / "raw"),
        "nnUNet_preprocessed": str(job.handed / "preprocessed"),
        "nnUNet_results": str(job.folder / "results"),
        "nnUNet_n_proc_DA": str(job.threads),
        "nnUNet_def_n_proc": str(job.threads),
    }


if __name__ == "__main__":
    main({"prepare": prepare, "train": train, "predict": predict})
