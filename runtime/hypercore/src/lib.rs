//! Hypercore v11: a signed append-only log, its Merkle tree, storage and replication.
