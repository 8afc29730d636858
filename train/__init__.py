"""Training: the network, xBD data, losses and the loop."""

import os

# albumentations asks its publisher for news on import; training works without a network.
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
