"""What a push costs and what makes it cheaper: pairs of old and new files, binary patches between them."""
