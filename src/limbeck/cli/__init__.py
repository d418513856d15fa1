"""The command line: parse first, import later; one file a verb."""
