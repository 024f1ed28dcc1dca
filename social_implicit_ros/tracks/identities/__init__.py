"""Who is who: cut, swapped, merged and lost ids."""
