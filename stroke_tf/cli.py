"""`stroke-tf VERB`: one table of commands, each loaded when it is called."""

from __future__ import annotations

import runpy
import sys

from stroke_tf import closed_pipe, ctrl_c

VERBS = {
    "inspect": ("data_tools.inspect", "say what a folder of slices holds"),
    "convert": ("data_tools.build_tfrecords", "slices to folds of TFRecords"),
    "phantom": ("data_tools.phantom", "draw head phantoms with strokes, to try things on"),
    "demo": ("experiments.demo", "the whole road in minutes, on phantoms or your slices"),
    "train-classifier": ("experiments.train_classifier", "train and test a stroke detector"),
    "train-unet": ("experiments.train_unet", "train and test a lesion segmentation"),
    "cross-validate": ("experiments.cross_validate", "test one network on all of your slices"),
    "tune-classifier": ("experiments.tune_classifier", "search for a detector's settings"),
    "tune-unet": ("experiments.tune_unet", "search for a segmentation's settings"),
    "audit": ("stroke_tf.audits.run_audits", "leaks, shortcuts, wrong labels and failures"),
    "reproduce": ("experiments.reproduce", "every table and figure of both papers, one report"),
    "save-model": ("stroke_tf.deploy.save_model", "finished runs as one folder to share"),
    "weights": ("stroke_tf.deploy.weights", "the ImageNet files that networks start from"),
    "report": ("stroke_tf.reporting.report", "REPORT.md and report.html of all runs"),
    "track": ("stroke_tf.reporting.track", "finished runs into a local MLflow store"),
    "predict": ("stroke_tf.deploy.predict", "scores, masks, volumes and a page of new slices"),
    "serve": ("stroke_tf.deploy.serve", "a page in the browser that takes slices and answers"),
    "export": ("stroke_tf.deploy.export", "a model as OpenVINO, ONNX, LiteRT or SavedModel"),
    "doctor": ("stroke_tf.doctor", "say what this machine has and what of it is used"),
    "score-stage1": ("experiments.score_stage1", "the competition's score of stroke yes or no"),
    "score-stage2": ("experiments.score_stage2", "the competition's score of masks"),
}
"""The module that each verb runs, and what it does."""


def main() -> None:
    """Runs the command that the first argument names, or lists them."""
    closed_pipe.outlive()
    verb, *flags = sys.argv[1:] or ["--help"]
    if verb in ("-h", "--help"):
        print(_help())
    elif verb not in VERBS:
        print(f"VERB must be one of {', '.join(VERBS)}. Received: {verb}", file=sys.stderr)
        sys.exit(2)
    else:
        sys.argv[1:] = flags
        try:
            _run(verb)
        except KeyboardInterrupt:  # while modules are imported; a command that runs says it itself
            print(ctrl_c.STOPPED, file=sys.stderr)
            sys.exit(ctrl_c.CODE)


def _run(verb: str) -> None:
    from stroke_tf import command  # here, so that the list of verbs needs nothing

    command.called_as = f"stroke-tf {verb}"
    runpy.run_module(VERBS[verb][0], run_name="__main__", alter_sys=True)


def _help() -> str:
    lines = (f"  {verb:18} {what}" for verb, (_, what) in VERBS.items())
    return "\n".join(
        [
            "usage: stroke-tf VERB [FLAGS]",
            "",
            "Finding strokes in brain CT with Keras and TensorFlow.",
            "",
            *lines,
            "",
            "`stroke-tf VERB --help` says what a verb takes.",
        ]
    )
