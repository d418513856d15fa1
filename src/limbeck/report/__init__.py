"""What a run folder says, for people: a terminal summary, Markdown and one HTML file; imports no torch."""
