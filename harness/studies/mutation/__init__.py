"""The study of mutants: builds with one deliberate mistake each, which test the harness itself."""
