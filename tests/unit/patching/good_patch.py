"""A patch file that follows all rules, and edits that break a rule."""

from __future__ import annotations

from collections.abc import Callable

#: The text of small-thing.
GOOD = """\
From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001
From: Somebody <somebody@example.org>
Date: Sat, 1 Jan 2000 00:00:00 +0000
Subject: [PATCH] fix: make the small thing
 better

The small thing was not as good as it might have been, which a test shows.
See https://example.org/issues/307.

---
Revisions: generation A, 2025-12
Upstream-Status: Inappropriate [it is a small thing and
  of no use to anybody]
Fixes: sd1-tiny/gguf-F16@auto NO_EFFECT
Fixes: sd1-tiny/gguf-Q8_0@auto ABORT

Measured with revision 2025-12.

diff --git a/stable-diffusion.cpp b/stable-diffusion.cpp
index 98c0c84dec95cbc2cfc4f3cb0a6ad9c7cbcbde47..030c12fd2e1a3a71d5dc4619b70f8e746afce62c 100644
--- a/stable-diffusion.cpp
+++ b/stable-diffusion.cpp
@@ -2,3 +2,3 @@ public:
 first
-second
+better
 third
--\x20
2.39.5

"""


def replacing(old: str, new: str) -> Callable[[str], str]:
    """Return the edit that replaces the first ``old`` of a text by ``new``."""

    def change(text: str) -> str:
        assert text.count(old) >= 1
        return text.replace(old, new, 1)

    return change
