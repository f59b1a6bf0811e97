"""`python -m stroke_tf VERB` is `stroke-tf VERB`."""

from stroke_tf.cli import main

main()
