"""Train LoRAs so that quantising them costs less. It needs torch: ``pip install '.[training]'``."""
