"""The cases: which pictures are made and what each is compared with."""
