"""Try the LoRAs of a user with the model of the user: what to expect, and what happens."""
