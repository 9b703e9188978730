"""How good a predicted model of a protein is, as a whole and at each residue."""
