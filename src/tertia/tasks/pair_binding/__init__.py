"""Do two proteins bind: from their sequences alone."""
