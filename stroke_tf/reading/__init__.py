"""A file to proved pixels: DICOM, pictures and masks. Loads no TensorFlow."""
