"""Programs that are watched: run unchanged while their state, output, figures appear on the bus."""
