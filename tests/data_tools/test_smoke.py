import subprocess
import sys

from data_tools.smoke import SMOKE_DATA
from stroke_tf.files import locked
from stroke_tf.manifest import read_manifest

MADE = """
import sys
from pathlib import Path
from data_tools.smoke import smoke_records
(made,) = smoke_records((Path("none"),), out=Path(sys.argv[1]), copies=())
print(made)
"""


def test_two_smoke_runs_at_once_make_their_records_together(tmp_path):
    command = [sys.executable, "-c", MADE, str(tmp_path)]
    with locked(tmp_path / SMOKE_DATA):  # both wait until this is left
        running = [
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
    done = [process.communicate(timeout=300) for process in running]
    assert [process.returncode for process in running] == [0, 0], done
    made = {out for out, _ in done}
    assert made == {f"{tmp_path / SMOKE_DATA / 'clean'}\n"}
    assert read_manifest(tmp_path / SMOKE_DATA / "clean").records > 0
