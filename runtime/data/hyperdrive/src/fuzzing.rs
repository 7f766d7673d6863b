//! What fuzz targets need beyond the API: entries as bytes, and the checks of paths that come from a drive. No part of the API.

use crate::error::DriveError;
use crate::{Entry, local_path};

/// Decodes an entry of a drive.
///
/// # Errors
/// If it is damaged.
pub fn decode_entry(seq: u64, key: &[u8], value: &[u8]) -> Result<Entry, DriveError> {
    Entry::decode(seq, key, value)
}

/// The value that an entry is stored as.
pub fn encode_entry(entry: &Entry) -> Vec<u8> {
    entry.encode()
}

/// Whether a drive's path may be written to a disk.
///
/// # Errors
/// If not.
pub fn check_key(key: &str) -> Result<(), DriveError> {
    local_path::check_key(key)
}

/// Whether a drive's link may be written to a disk, and how it is written there.
///
/// # Errors
/// If not.
pub fn check_link(key: &str, target: &str) -> Result<String, DriveError> {
    local_path::check_link(key, target)
}

/// Where a checked path lies beneath a folder.
pub fn join(root: &std::path::Path, key: &str) -> std::path::PathBuf {
    local_path::join(root, key)
}
