"""Where in a eukaryotic cell a protein is, and whether it sits in a membrane: from its sequence."""
