"""Is it the same as the book? The chapter's program in plain torch, and the comparison of our routes with it."""
