//! Hyperdrive: a file system of entries and blobs; local folders behind the same trait; mirror between them.
