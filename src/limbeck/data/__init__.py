"""Tasks, loading, row keys, views, order and the data doctor: from what a user has to rows to train on."""
