//! Hyperblobs: byte blobs on a core, plain or as block maps of content-defined chunks.
