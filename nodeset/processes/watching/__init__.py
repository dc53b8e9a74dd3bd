"""Programs run through their lives."""
