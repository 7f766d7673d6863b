//! The window, its web view, and the event loop of the main thread.

mod error;
mod live;
mod mailbox;

use std::cell::Cell;
#[cfg(target_os = "linux")]
use std::path::Path;
use std::path::PathBuf;
use std::rc::Rc;
#[cfg(target_os = "linux")]
use std::time::{Duration, Instant};

use app::{Color, Manifest, layout};
pub(crate) use error::show as show_error;
use live::Live;
pub(crate) use mailbox::{Mailbox, Outcome, UserEvent};
use tao::dpi::LogicalSize;
use tao::event_loop::EventLoop;
use tao::window::{Theme, Window, WindowBuilder};
use wry::{
    NewWindowResponse, PageLoadEvent, PermissionKind, PermissionResponse, WebContext, WebView, WebViewBuilder,
};

use crate::bridge::Bridge;
use crate::dev::Source;
use crate::error::ShellError;
use crate::page::{ORIGIN, PageServer, SCHEME};

/// A page process that ends this soon after it ended before is not started a third time.
#[cfg(target_os = "linux")]
const CRASH_AGAIN: Duration = Duration::from_secs(10);

/// What a window is made from.
pub(crate) struct WindowParts {
    pub(crate) manifest: Manifest,
    /// The app's folder, for the icon.
    pub(crate) app: PathBuf,
    pub(crate) server: PageServer,
    /// Where the page is from.
    pub(crate) source: Source,
    pub(crate) bridge: Bridge,
    /// The bridge's script.
    pub(crate) script: String,
    /// Where the web view keeps its own data.
    pub(crate) data_dir: PathBuf,
    /// A WebDriver may control the window.
    pub(crate) automation: bool,
    /// Web inspector and reload.
    pub(crate) developer: bool,
    pub(crate) runtime: tokio::runtime::Handle,
    /// Called once, after the first paint of the page.
    pub(crate) on_first_paint: Box<dyn FnOnce()>,
    /// Called with the reason when the page fails before that.
    pub(crate) on_broken: Box<dyn Fn(&str)>,
    /// Called once the window is up: after the first paint, or when that is long overdue.
    pub(crate) on_up: Box<dyn FnOnce()>,
    /// A deep link given on the command line.
    pub(crate) deep_link: Option<String>,
}

/// Opens the window and runs the event loop until the window is closed.
pub(crate) fn run(event_loop: &mut EventLoop<UserEvent>, parts: WindowParts) -> Result<Outcome, ShellError> {
    let window = build_window(event_loop, &parts)?;
    let mut context = WebContext::new(Some(parts.data_dir.clone()));
    if parts.automation {
        context.set_allows_automation(true);
    }
    let WindowParts {
        manifest,
        server,
        source,
        bridge,
        script,
        developer,
        runtime,
        on_first_paint,
        on_broken,
        on_up,
        deep_link,
        ..
    } = parts;
    let background = background(&window, &manifest);
    let first = source.url.clone();
    let finished = Rc::new(Cell::new(false));
    let builder = WebViewBuilder::new_with_web_context(&mut context)
        .with_background_color((background.0, background.1, background.2, 255))
        .with_initialization_script_for_main_only(script, true)
        .with_devtools(developer)
        .with_clipboard(true)
        .with_focused(true)
        .with_asynchronous_custom_protocol(SCHEME.to_owned(), {
            move |_, request, responder| {
                let server = server.clone();
                runtime.spawn(async move { responder.respond(server.respond(&request).await) });
            }
        })
        .with_ipc_handler(move |request| {
            let url = request.uri().to_string();
            if let Err(rejected) = bridge.receive(request.body(), &url) {
                tracing::warn!("{rejected}");
            }
        })
        .with_navigation_handler(move |url| {
            let allowed = is_within(&source.origin, &url);
            if !allowed {
                tracing::warn!(%url, "the page may not leave the app; this navigation was blocked");
            }
            allowed
        })
        .with_new_window_req_handler(|url, _| {
            tracing::warn!(%url, "the page may not open windows; this one was blocked");
            NewWindowResponse::Deny
        })
        .with_download_started_handler(|url, _| {
            tracing::warn!(%url, "the page may not download files; this download was blocked");
            false
        })
        .with_permission_handler({
            let granted = manifest.permissions.clone();
            move |kind| permission(&granted, kind)
        })
        .with_on_page_load_handler({
            let finished = finished.clone();
            move |event, _| finished.set(finished.get() || matches!(event, PageLoadEvent::Finished))
        })
        .with_url(first);
    let webview = attach(builder, &window)?;
    #[cfg(target_os = "linux")]
    recover(&webview, Mailbox(event_loop.create_proxy()));

    let health = (on_first_paint, on_broken);
    let live = Live::new(window, webview, finished, health, on_up, deep_link);
    Ok(live.run(event_loop))
}

fn build_window(event_loop: &EventLoop<UserEvent>, parts: &WindowParts) -> Result<Window, ShellError> {
    let config = &parts.manifest.window;
    let window = WindowBuilder::new()
        .with_title(&config.title)
        .with_inner_size(LogicalSize::new(config.width, config.height))
        .with_min_inner_size(LogicalSize::new(config.min_width, config.min_height))
        .with_visible(false)
        .build(event_loop)
        .map_err(|error| ShellError::Window(error.to_string()))?;
    let Color(red, green, blue) = background(&window, &parts.manifest);
    window.set_background_color(Some((red, green, blue, 255)));
    #[cfg(target_os = "linux")]
    {
        use gtk::prelude::GtkWindowExt;
        use tao::platform::unix::WindowExtUnix;
        let icon = parts.app.join(layout::ICON);
        if icon.is_file() {
            match icons(&icon) {
                Ok(icons) => window.gtk_window().set_icon_list(&icons),
                Err(error) => tracing::warn!(%error, icon = %icon.display(), "the icon cannot be used"),
            }
        }
    }
    Ok(window)
}

/// The app's icon in the sizes that docks and title bars show. X11 takes no more than a request holds: the small ones come first, and a
/// larger one than 256 pixels would keep all of them out.
#[cfg(target_os = "linux")]
fn icons(path: &Path) -> Result<Vec<gtk::gdk_pixbuf::Pixbuf>, gtk::glib::Error> {
    use gtk::gdk_pixbuf::{InterpType, Pixbuf};
    // Read once: the window waits for it.
    let largest = Pixbuf::from_file_at_scale(path, 256, 256, true)?;
    let sizes = [16, 32, 48, 64, 128, 256].into_iter();
    Ok(sizes
        .filter_map(|size| largest.scale_simple(size, size, InterpType::Bilinear))
        .collect())
}

fn background(window: &Window, manifest: &Manifest) -> Color {
    match window.theme() {
        Theme::Dark => manifest.window.background_dark,
        _ => manifest.window.background,
    }
}

#[cfg(target_os = "linux")]
fn attach(builder: WebViewBuilder<'_>, window: &Window) -> Result<WebView, ShellError> {
    use tao::platform::unix::WindowExtUnix;
    use wry::WebViewBuilderExtUnix;
    let vbox = window
        .default_vbox()
        .ok_or_else(|| ShellError::Window("the window has no content area".to_owned()))?;
    builder
        .build_gtk(vbox)
        .map_err(|error| ShellError::Window(error.to_string()))
}

#[cfg(not(target_os = "linux"))]
fn attach(builder: WebViewBuilder<'_>, window: &Window) -> Result<WebView, ShellError> {
    builder
        .build(window)
        .map_err(|error| ShellError::Window(error.to_string()))
}

/// Reloads the page when its process has crashed or was killed (by the system, out of memory), instead of leaving an empty
/// window; a page that keeps crashing is left with a page that says so.
#[cfg(target_os = "linux")]
fn recover(webview: &WebView, mailbox: Mailbox) {
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

/// Whether `url` is of an origin.
fn is_within(origin: &str, url: &str) -> bool {
    url.strip_prefix(origin)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?', '#']))
}

/// A page may use what `bosc.permissions` in package.json names, and nothing else.
fn permission(granted: &[String], kind: PermissionKind) -> PermissionResponse {
    if granted.iter().any(|name| *name == kind.to_string()) {
        PermissionResponse::Allow
    } else {
        tracing::warn!(%kind, "the page asked for a permission that \"bosc.permissions\" in package.json does not name");
        PermissionResponse::Deny
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_apps_own_addresses_are_followed() {
        let own = |url: &str| is_within(ORIGIN, url);
        assert!(own(ORIGIN) && own(&format!("{ORIGIN}/renderer/index.html")));
        for url in [
            "https://example.com/",
            "app://localhost.example/",
            "app://other/x",
            "about:blank",
            "file:///x",
        ] {
            assert!(!own(url), "{url}");
        }
    }

    #[test]
    fn permissions_are_granted_by_name() {
        let granted = ["microphone".to_owned()];
        assert_eq!(
            permission(&granted, PermissionKind::Microphone),
            PermissionResponse::Allow
        );
        assert_eq!(
            permission(&granted, PermissionKind::Camera),
            PermissionResponse::Deny
        );
    }
}
