//! Pear Chat, the app authors start from: a window, a page, and a chat kept in SQLite.

#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

mod chat;

use std::process::ExitCode;

fn main() -> ExitCode {
    bosc_shell::App::new().setup(chat::install).run()
}
