//! An open window: what it does with each event, until it is closed.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tao::event::{Event, StartCause, WindowEvent};
use tao::event_loop::{ControlFlow, EventLoop};
use tao::platform::run_return::EventLoopExtRunReturn;
use tao::window::Window;
use wry::WebView;

use super::mailbox::{Outcome, UserEvent};
use crate::bridge::ToPage;

/// A page that is there for this long and still shows nothing is blank. It may yet come up: that makes up for it.
const BLANK_AFTER: Duration = Duration::from_secs(8);

/// After this time the window is shown and counts as up even if the page has said nothing.
const UP_AFTER: Duration = Duration::from_secs(3);

type Once = Option<Box<dyn FnOnce()>>;

/// What to call when the page first shows something, and what when it fails before.
type Health = (Box<dyn FnOnce()>, Box<dyn Fn(&str)>);

/// The window and what has happened to it so far.
pub(super) struct Live {
    webview: WebView,
    window: Window,
    /// Set by the web view when the page has loaded.
    loaded: Rc<Cell<bool>>,
    on_first_paint: Once,
    /// Called with the reason, whenever the page fails before it showed anything.
    on_broken: Box<dyn Fn(&str)>,
    on_up: Once,
    /// Deep links for a page that is not there yet.
    links: Vec<String>,
    said_hello: bool,
    shown: bool,
    up_at: Instant,
    /// When a page that is there counts as blank.
    blank_at: Option<Instant>,
    leaving: Option<Outcome>,
}

impl Live {
    pub(super) fn new(
        window: Window,
        webview: WebView,
        loaded: Rc<Cell<bool>>,
        (on_first_paint, on_broken): Health,
        on_up: Box<dyn FnOnce()>,
        link: Option<String>,
    ) -> Self {
        Self {
            webview,
            window,
            loaded,
            on_first_paint: Some(on_first_paint),
            on_broken,
            blank_at: None,
            on_up: Some(on_up),
            links: link.into_iter().collect(),
            said_hello: false,
            shown: false,
            up_at: Instant::now() + UP_AFTER,
            leaving: None,
        }
    }

    /// Runs the event loop; on return the window and its web view are gone.
    pub(super) fn run(mut self, event_loop: &mut EventLoop<UserEvent>) -> Outcome {
        event_loop.run_return(|event, _, flow| {
            self.handle(event);
            *flow = match self.leaving {
                Some(_) => ControlFlow::Exit,
                None => {
                    let up_at = self.on_up.as_ref().map(|_| self.up_at);
                    let next = [up_at, self.blank_at].into_iter().flatten().min();
                    next.map_or(ControlFlow::Wait, ControlFlow::WaitUntil)
                }
            };
        });
        self.leaving.unwrap_or(Outcome::Closed)
    }

    fn handle(&mut self, event: Event<'_, UserEvent>) {
        match event {
            Event::UserEvent(event) => self.handle_user(event),
            Event::WindowEvent {
                event: WindowEvent::CloseRequested | WindowEvent::Destroyed,
                ..
            } => {
                self.leaving.get_or_insert(Outcome::Closed);
            }
            Event::NewEvents(StartCause::ResumeTimeReached { .. }) => {
                let now = Instant::now();
                if now >= self.up_at {
                    self.show();
                    self.up();
                }
                if self.blank_at.take_if(|at| now >= *at).is_some() {
                    self.broken("the page stays blank");
                }
            }
            #[cfg(target_os = "macos")]
            Event::Opened { urls } => urls.into_iter().for_each(|link| self.deep_link(link.to_string())),
            _ => {}
        }
        if self.loaded.replace(false) {
            self.show();
        }
    }

    fn handle_user(&mut self, event: UserEvent) {
        match event {
            UserEvent::Script(script, permit) => {
                if let Err(error) = self.webview.evaluate_script(&script) {
                    tracing::error!(%error, "a message did not reach the page");
                }
                drop(permit);
            }
            UserEvent::Hello => {
                self.said_hello = true;
                self.show();
                if self.on_first_paint.is_some() {
                    self.blank_at.get_or_insert_with(|| Instant::now() + BLANK_AFTER);
                }
                for link in std::mem::take(&mut self.links) {
                    self.deep_link(link);
                }
            }
            UserEvent::Broken(reason) => self.broken(&reason),
            UserEvent::Painted => {
                self.blank_at = None;
                if let Some(first_paint) = self.on_first_paint.take() {
                    first_paint();
                }
                self.up();
            }
            UserEvent::DeepLink(link) => self.deep_link(link),
            UserEvent::Reload => {
                if let Err(error) = self.webview.reload() {
                    tracing::error!(%error, "the page was not loaded anew");
                }
            }
            UserEvent::Focus => {
                self.window.set_minimized(false);
                self.window.set_visible(true);
                self.window.set_focus();
            }
            UserEvent::Leave(outcome) => self.leaving = Some(outcome),
        }
    }

    /// After it has shown something, a page that fails says nothing about the start.
    fn broken(&mut self, reason: &str) {
        if self.on_first_paint.is_some() {
            self.blank_at = None;
            (self.on_broken)(reason);
        }
    }

    fn show(&mut self) {
        if !std::mem::replace(&mut self.shown, true) {
            self.window.set_visible(true);
            self.window.set_focus();
            let _ = self.webview.focus();
        }
    }

    fn up(&mut self) {
        if let Some(up) = self.on_up.take() {
            up();
        }
    }

    fn deep_link(&mut self, link: String) {
        if !self.said_hello {
            return self.links.push(link);
        }
        let message = ToPage::Event {
            name: "deep-link".to_owned(),
            data: serde_json::Value::String(link),
        };
        if let Ok(script) = message.script() {
            let _ = self.webview.evaluate_script(&script);
        }
    }
}
