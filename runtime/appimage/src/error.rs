//! Why an AppImage, or something in one, cannot be read.

use std::io;

/// Why an AppImage cannot be read. The caller knows its path.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// It is not an AppImage of type 2.
    #[error("it is no AppImage: {0}")]
    NoImage(&'static str),
    /// It is one of a kind that this reader does not know.
    #[error("it is an AppImage that cannot be looked into here: {0}")]
    Unsupported(String),
    /// Something in it contradicts itself or goes past a bound.
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    /// It, or what was asked for, could not be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<ImageError> for io::Error {
    fn from(error: ImageError) -> Self {
        match error {
            ImageError::Io(error) => error,
            other => Self::new(io::ErrorKind::InvalidData, other),
        }
    }
}
