//! What the window needs of GTK and WebKitGTK: its icon, its web view, and a page that is loaded again after its process ended.

use std::cell::Cell;
use std::path::Path;
use std::time::{Duration, Instant};

use app::layout;
use tao::window::Window;
use wry::{WebView, WebViewBuilder};

use super::{Mailbox, UserEvent};
use crate::error::ShellError;
use crate::page::ORIGIN;

/// A page process that ends this soon after it ended before is not started a third time.
const CRASH_AGAIN: Duration = Duration::from_secs(10);

/// Gives the window the icon of the app in that folder, if it has one.
pub(super) fn show_icon(window: &Window, app: &Path) {
    use gtk::prelude::GtkWindowExt;
    use tao::platform::unix::WindowExtUnix;
    let icon = app.join(layout::ICON);
    if icon.is_file() {
        match icons(&icon) {
            Ok(icons) => window.gtk_window().set_icon_list(&icons),
            Err(error) => tracing::warn!(%error, icon = %icon.display(), "the icon cannot be used"),
        }
    }
}

/// The app's icon in the sizes that docks and title bars show. X11 takes no more than a request holds: the small ones come first, and a
/// larger one than 256 pixels would keep all of them out.
fn icons(path: &Path) -> Result<Vec<gtk::gdk_pixbuf::Pixbuf>, gtk::glib::Error> {
    use gtk::gdk_pixbuf::{InterpType, Pixbuf};
    // Read once: the window waits for it.
    let largest = Pixbuf::from_file_at_scale(path, 256, 256, true)?;
    let sizes = [16, 32, 48, 64, 128, 256].into_iter();
    Ok(sizes
        .filter_map(|size| largest.scale_simple(size, size, InterpType::Bilinear))
        .collect())
}

/// Puts the web view into the window.
pub(super) fn attach(builder: WebViewBuilder<'_>, window: &Window) -> Result<WebView, ShellError> {
    use tao::platform::unix::WindowExtUnix;
    use wry::WebViewBuilderExtUnix;
    let vbox = window
        .default_vbox()
        .ok_or_else(|| ShellError::Window("the window has no content area".to_owned()))?;
    builder
        .build_gtk(vbox)
        .map_err(|error| ShellError::Window(error.to_string()))
}

/// Reloads the page when its process has crashed or was killed (by the system, out of memory), instead of leaving an empty
/// window; a page that keeps crashing is left with a page that says so.
pub(super) fn recover(webview: &WebView, mailbox: Mailbox) {
    use webkit2gtk::WebViewExt;
    use wry::WebViewExtUnix;
    let last = Cell::new(None::<Instant>);
    webview
        .webview()
        .connect_web_process_terminated(move |view, reason| {
            let again = last
                .replace(Some(Instant::now()))
                .is_some_and(|last| last.elapsed() < CRASH_AGAIN);
            mailbox.send(UserEvent::Broken(format!(
                "the page's process ended ({reason:?})"
            )));
            tracing::error!(
                ?reason,
                "the page's process ended; {}",
                if again {
                    "giving up"
                } else {
                    "loading the page again"
                }
            );
            if again {
                let page = crate::page::error_page::render(
                    "The page keeps crashing",
                    &format!(
                        "The web view's process ended twice within {} s ({reason:?}).",
                        CRASH_AGAIN.as_secs()
                    ),
                    "Close the app and start it again. What was already kept is safe.",
                );
                view.load_html(&page, Some(&format!("{ORIGIN}/crashed")));
            } else {
                view.reload();
            }
        });
}
