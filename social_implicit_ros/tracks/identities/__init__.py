"""Corrects identities: cut, swapped, merged and lost ids."""
