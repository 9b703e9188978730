"""Decoys: chains with realistic errors and exact labels, for training; six families of errors, one file each."""

from tertia.structure.decoys.make import FEWEST, GENERATORS, Decoy, make_decoys

__all__ = ["FEWEST", "GENERATORS", "Decoy", "make_decoys"]
