import subprocess
import sys

import pytest

from stroke_tf.quiet_import import import_quietly

NOTES = """\
WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
I0000 00:00:1796043039.641223   20812 cudart_stub.cc:31] Could not find cuda drivers.
"""
ERROR = "E0000 00:00:1796043039.641223   20812 some.cc:31] an error\n"
SAYS = f"import os\nos.write(2, {(NOTES + ERROR).encode()!r})\n"


@pytest.fixture
def library(tmp_path, monkeypatch):
    """Returns a function that writes a library, which prints notes on import and then runs code."""

    def write(name, then=""):
        (tmp_path / f"{name}.py").write_text(SAYS + then)
        return tmp_path

    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    return write


def test_notes_are_not_shown_and_errors_are(library, capfd):
    library("talks_much")
    import_quietly("talks_much")
    import talks_much

    print("after", file=sys.stderr)
    assert capfd.readouterr().err == f"{ERROR}after\n"
    assert talks_much.__spec__.loader.get_source("talks_much").startswith("import os")
    import_quietly("talks_much")  # it is imported already
    assert all("quiet" not in type(finder).__module__ for finder in sys.meta_path)


def test_an_import_that_fails_shows_why(library, capfd):
    library("fails", "raise ImportError('no such part')")
    import_quietly("fails")
    with pytest.raises(ImportError, match="no such part"):
        import fails  # noqa: F401
    assert capfd.readouterr().err == ERROR


def test_the_last_words_of_an_import_that_crashes_are_shown(library):
    then = "import sys; print('of Python', file=sys.stderr); os.write(2, b'F0000 no AVX')"
    folder = library("crashes", f"{then}; os.abort()")
    script = "from stroke_tf.quiet_import import import_quietly; import_quietly('crashes')"
    script = f"import sys; sys.path.insert(0, {str(folder)!r}); {script}; import crashes"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode < 0
    assert done.stderr == f"{ERROR}of Python\nF0000 no AVX"
