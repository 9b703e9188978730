"""Helix, strand or coil for each residue: from the sequence."""
