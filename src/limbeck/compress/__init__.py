"""Small models that leave: export with the preprocessing inside, and the proof that nothing changed on the way."""
