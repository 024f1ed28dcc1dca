"""The command-line programs, one module each; nothing imports them."""

import os

# numpy's BLAS reads this when it is loaded. The matrices are small: further threads make no product
# faster, and they busy-wait between two products, which doubles the CPU time.
os.environ.setdefault("OMP_NUM_THREADS", "1")
