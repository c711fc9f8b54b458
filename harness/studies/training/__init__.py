"""What training with the fake quantiser gains after quantising."""
