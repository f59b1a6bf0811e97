"""Head phantoms with strokes, drawn and written as the organisers' folder."""

from data_tools.phantom.data_set import PATIENTS_NAME, PhantomConfig, make_phantom

__all__ = ["PATIENTS_NAME", "PhantomConfig", "make_phantom"]
