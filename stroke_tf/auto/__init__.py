"""Settings of a training chosen by rules, from the records, the memory and a few timed steps."""
