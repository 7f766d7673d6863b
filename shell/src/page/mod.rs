//! Serving the page: from a request of the web view to a file of the app's drive, and back.

pub mod assets;
pub mod error_page;
pub mod mime;
pub mod path;
pub mod protocol;

pub use assets::{Assets, AssetsError, DriveAssets};
pub use protocol::{ORIGIN, PageServer, SCHEME};
