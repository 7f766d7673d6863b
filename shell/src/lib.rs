//! The desktop host: a window whose page comes from a drive, and the bridge between page and updater.
//!
//! ```no_run
//! fn main() -> std::process::ExitCode {
//!     bosc_shell::App::new()
//!         .setup(|app| {
//!             app.command("greet", |name: String| Ok::<_, String>(format!("Hello, {name}")));
//!             Ok::<_, std::io::Error>(())
//!         })
//!         .run()
//! }
//! ```
//!
//! The page says `await bridge.invoke('greet', 'pear')`. See [`bridge`] for all it can say, [`args::Args`] for the flags
//! every app has, [`Manifest`] for what `package.json` sets.
//!
//! The window can be driven by WebDriver only if `BOSC_AUTOMATION=1` is in the environment; otherwise the web view refuses.
//! Warnings, and errors of the page, go to standard error; what else is of interest later to `log/app.log` in the app's storage,
//! three files of a megabyte at most. `--log-level debug` (or `RUST_LOG=bosc_shell=debug`) has both say more.
//!
//! Linux (WebKitGTK) is what the tests cover. macOS (WKWebView) and Windows (WebView2) have their code paths but have
//! not been tried: there deep links need registering by an installer, and on Windows a second start is not forwarded.

#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

pub mod app;
pub mod args;
pub mod bridge;
mod dev;
pub mod error;
pub mod external;
pub mod instance;
pub mod locate;
mod log;
pub mod page;
mod per_user;
mod pinned;
pub mod platform;
mod restart;
mod startup;
pub mod updater;
mod window;
pub mod workers;

pub use self::app::{App, AppHandle, Setup};
pub use ::app::Manifest;
pub use bridge::{CommandError, Commands};
pub use error::ShellError;
pub use updater::{PearEvent, UpdaterHost};
