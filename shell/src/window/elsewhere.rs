//! The same for macOS and Windows, where an app's icon is its bundle's or its program's, and the web view has processes of its own that
//! nobody here hears of.

use std::path::Path;

use tao::window::Window;
use wry::{WebView, WebViewBuilder};

use super::Mailbox;
use crate::error::ShellError;

/// Nothing: the system takes the icon from the bundle or the program.
pub(super) fn show_icon(_: &Window, _: &Path) {}

/// Puts the web view into the window.
pub(super) fn attach(builder: WebViewBuilder<'_>, window: &Window) -> Result<WebView, ShellError> {
    builder
        .build(window)
        .map_err(|error| ShellError::Window(error.to_string()))
}

/// Nothing: a page whose process ended stays empty until the app is started again.
pub(super) fn recover(_: &WebView, _: Mailbox) {}
