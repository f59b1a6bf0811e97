"""From pictures, DICOM files and overlays to TFRecords: find, read, check, fold, write."""
