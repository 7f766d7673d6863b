//! How the rest of the process speaks with the main thread.

use tao::event_loop::EventLoopProxy;
use tokio::sync::OwnedSemaphorePermit;

use crate::bridge::{HostActions, Page, ToPage};
use crate::external;

/// What reaches the main thread from elsewhere.
#[derive(Debug)]
pub(crate) enum UserEvent {
    /// Run this script in the page; the permit is dropped afterwards.
    Script(String, Option<OwnedSemaphorePermit>),
    /// The page's document is there.
    Hello,
    /// The page has painted something.
    Painted,
    /// The page failed before that, for this reason.
    Broken(String),
    /// Load the page anew.
    Reload,
    /// Bring the window to the front.
    Focus,
    /// A deep link for the page.
    DeepLink(String),
    /// Leave the event loop.
    Leave(Outcome),
}

/// Why the event loop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The window was closed, or the app asked to quit.
    Closed,
    /// The app is to be started again.
    Restart,
}

/// The main thread's mailbox.
#[derive(Clone)]
pub(crate) struct Mailbox(pub(crate) EventLoopProxy<UserEvent>);

impl Mailbox {
    /// Sends an event. After the event loop has ended nothing is listening, which is fine.
    pub(crate) fn send(&self, event: UserEvent) {
        let _ = self.0.send_event(event);
    }
}

impl Page for Mailbox {
    fn post(&self, message: ToPage, permit: Option<OwnedSemaphorePermit>) {
        match message.script() {
            Ok(script) => self.send(UserEvent::Script(script, permit)),
            Err(error) => tracing::error!(%error, "a message to the page cannot be written"),
        }
    }
}

impl HostActions for Mailbox {
    fn hello(&self, started: f64) {
        tracing::info!(target: "bosc_shell::startup", epoch_ms = started, "first page script");
        self.send(UserEvent::Hello);
    }

    fn painted(&self) {
        self.send(UserEvent::Painted);
    }

    fn broken(&self, reason: &str) {
        self.send(UserEvent::Broken(reason.to_owned()));
    }

    fn close(&self) {
        self.send(UserEvent::Leave(Outcome::Closed));
    }

    fn restart(&self) {
        self.send(UserEvent::Leave(Outcome::Restart));
    }

    fn open_external(&self, url: &str) {
        external::open(url);
    }
}
