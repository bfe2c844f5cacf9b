"""What happened: event streams, the log, the correlated timeline, observed maxima."""
