import subprocess
import sys

import pytest

COMMANDS = [
    "benchmarks.frozen_features",
    "benchmarks.overlays",
    "benchmarks.pipeline",
    "benchmarks.search",
    "benchmarks.tfrecords",
    "benchmarks.unet_step",
    "benchmarks.unet_profile",
    "data_tools.build_tfrecords",
    "data_tools.inspect",
    "data_tools.phantom.data_set",
    "experiments.ct_ich_detect",
    "experiments.ct_ich_segment",
    "experiments.demo",
    "experiments.joint_phase2",
    "experiments.open_stroke_segment",
    "experiments.saucis_ablation",
    "experiments.saucis_f1_f2_f3_samples",
    "experiments.saucis_t4_t5_detect",
    "experiments.saucis_t6_unet",
    "experiments.score_stage1",
    "experiments.score_stage2",
    "experiments.train_classifier",
    "experiments.train_unet",
    "experiments.tune_classifier",
    "experiments.tune_unet",
    "experiments.usth_t1_detect",
    "experiments.usth_t2_type",
    "experiments.usth_t3_segment",
    "stroke_tf.reporting.report",
]

SLOW_TO_IMPORT = {"tensorflow", "keras", "sklearn", "scipy.stats", "matplotlib", "pandas"}

HELP = """
import runpy, sys
sys.argv = ["command", "--help"]
try:
    runpy.run_module({module!r}, run_name="__main__", alter_sys=True)
except SystemExit as end:
    assert not end.code, end.code
print("imported:", sorted({slow!r} & set(sys.modules)))
"""


@pytest.mark.parametrize("module", COMMANDS)
def test_help_answers_without_heavy_imports(module):
    script = HELP.format(module=module, slow=SLOW_TO_IMPORT)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"python -m {module}" in done.stdout.split("\n\n")[0]
    assert done.stdout.rstrip().endswith("imported: []")


def test_importing_the_package_loads_nothing_heavy():
    script = f"import stroke_tf, sys; assert not {SLOW_TO_IMPORT!r} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_every_public_name_can_be_loaded():
    import stroke_tf

    assert len(stroke_tf.__all__) <= 20
    for name in stroke_tf.__all__:
        assert getattr(stroke_tf, name) is not None
        assert name in dir(stroke_tf)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = stroke_tf.nothing
