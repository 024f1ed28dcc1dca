"""The command-line programs, one module each; nothing imports them."""

import os

# The matrices are small. Threads of numpy's BLAS, which reads this when it is loaded, gain nothing
# and wait busily for the next product: they take as much processor time again.
os.environ.setdefault("OMP_NUM_THREADS", "1")
