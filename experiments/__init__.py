"""One short declarative file for each published table, and the commands that train one model."""
