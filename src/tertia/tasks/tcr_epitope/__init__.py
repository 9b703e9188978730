"""Does a T-cell receptor recognise a peptide: from the two sequences."""
