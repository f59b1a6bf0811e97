"""Makes a data set of head phantoms with strokes, laid out as the TEKNOFEST organisers' folder.

    stroke-tf phantom --out DATA

No patient stands behind any slice. Each phantom patient has slices from the posterior fossa to the
vertex; a stroke lies in some that follow each other, and the others are stroke-free. Every height
is as likely to show one, and display windows are drawn without looking at the slice.
"""

from __future__ import annotations

from data_tools.options import PhantomConfig
from stroke_tf import command


def main(config: PhantomConfig) -> int:
    """Makes the set with a progress bar, prints where it is; returns the exit code."""
    from data_tools.phantom.data_set import make_phantom
    from stroke_tf.progress import progress_bar

    with progress_bar() as bar:
        made = make_phantom(config, progress=lambda done, total: bar("patients", done, total))
    state = "written" if made else "is already there, made with the same values"
    print(f"{config.out}: phantom set of {config.patients} patients {state}")
    return 0


if __name__ == "__main__":
    command.run(main, PhantomConfig, doc=__doc__)
