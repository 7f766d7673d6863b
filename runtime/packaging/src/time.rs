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

/// The same as archives with DOS times say it: in UTC, and not before 1980.
pub(crate) fn in_archives(seconds: u32) -> zip::DateTime {
    let moment = ::time::OffsetDateTime::from_unix_timestamp(i64::from(seconds)).ok();
    let moment = moment.map(|moment| ::time::PrimitiveDateTime::new(moment.date(), moment.time()));
    moment
        .and_then(|moment| zip::DateTime::try_from(moment).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_say_the_same_time() {
        assert_eq!(in_archives(ALWAYS).to_string(), "1980-01-01 00:00:00");
        assert_eq!(in_archives(0).to_string(), "1980-01-01 00:00:00");
        assert_eq!(in_archives(1_700_000_000).to_string(), "2023-11-14 22:13:20");
    }
}
