//! Pear Chat, the app authors start from: a window, a page, and a chat kept in SQLite.

mod chat;

use std::process::ExitCode;

fn main() -> ExitCode {
    bosc_shell::App::new().setup(chat::install).run()
}
