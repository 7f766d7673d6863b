//! The window, its web view, and the event loop of the main thread.

#[cfg(not(target_os = "linux"))]
mod elsewhere;
mod error;
#[cfg(target_os = "linux")]
mod linux;
mod live;
mod mailbox;

use std::cell::Cell;
use std::path::PathBuf;
use std::rc::Rc;

use app::{Color, Manifest};
pub(crate) use error::show as show_error;
use live::Live;
pub(crate) use mailbox::{Mailbox, Outcome, UserEvent};
use tao::dpi::LogicalSize;
use tao::event_loop::EventLoop;
use tao::window::{Theme, Window, WindowBuilder};
use wry::{NewWindowResponse, PageLoadEvent, PermissionKind, PermissionResponse, WebContext, WebViewBuilder};

#[cfg(not(target_os = "linux"))]
use self::elsewhere as system;
#[cfg(target_os = "linux")]
use self::linux as system;
use crate::bridge::Bridge;
use crate::dev::Source;
use crate::error::ShellError;
use crate::page::{PageServer, SCHEME};

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
    let webview = system::attach(builder, &window)?;
    system::recover(&webview, Mailbox(event_loop.create_proxy()));

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
    system::show_icon(&window, &parts.app);
    Ok(window)
}

fn background(window: &Window, manifest: &Manifest) -> Color {
    match window.theme() {
        Theme::Dark => manifest.window.background_dark,
        _ => manifest.window.background,
    }
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
    use crate::page::ORIGIN;

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
