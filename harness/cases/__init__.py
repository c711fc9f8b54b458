"""The test cases: which pictures are made, and what each picture is compared with."""
