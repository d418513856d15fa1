"""Networks of sound: they take clips of samples and make their features themselves."""
