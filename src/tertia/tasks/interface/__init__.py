"""Which residues of a protein touch another protein."""
