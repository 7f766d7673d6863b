//! Hyperbee: an append-only B-tree of keys and values on a core.
