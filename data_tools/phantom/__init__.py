"""Head phantoms with strokes, drawn and written as the organisers' folder."""
