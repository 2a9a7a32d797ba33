"""Training: settings, batches, and runs that carry on."""

import fastup.networks  # noqa: F401  first of all: it quiets TensorFlow
