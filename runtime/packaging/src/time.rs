//! The one time that everything made bears.

use crate::PackagingError;

/// When nobody says when: the first of January 1980, which every archive can say.
const ALWAYS: u32 = 315_532_800;

/// In seconds since 1970: `SOURCE_DATE_EPOCH`, or a time that is always the same.
pub(crate) fn source_date() -> Result<u32, PackagingError> {
    match std::env::var_os("SOURCE_DATE_EPOCH") {
        None => Ok(ALWAYS),
        Some(text) => {
            let text = text.to_string_lossy().into_owned();
            text.parse().map_err(|_| PackagingError::Time { found: text })
        }
    }
}
