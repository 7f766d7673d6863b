//! The updater as the host sees it: events, state, apply. The real one is `bosc-runtime`; tests bring their own.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use base::lock;
use bosc_runtime::Told;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use serde::Serialize;
use serde_json::{Value, json};

/// One updater event, as `bridge.onPearEvent(name, (name, data) => …)` delivers it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PearEvent {
    /// `update-scheduled`, `updating`, `updating-delta`, `updated` or `error`.
    pub name: String,
    /// The event's details; an object.
    pub data: Value,
}

/// What follows an app's drive and swaps its bundle.
#[async_trait]
pub trait UpdaterHost: Send + Sync {
    /// Events from now on.
    fn events(&self) -> BoxStream<'static, PearEvent>;
    /// A snapshot: an object with at least `version`, `updating`, `updated` and `applied`.
    fn state(&self) -> Value;
    /// Swaps the bundle for the update that is ready. `false`: there was nothing to apply. Returns after the swap.
    async fn apply(&self) -> Result<bool, Told>;
    /// Installs versions again that were taken back because they did not start. `false`: there were none.
    async fn retry(&self) -> Result<bool, String> {
        Ok(false)
    }
    /// Ends all work; sockets and stores are closed when it returns.
    async fn close(&self);
}

/// Starts an updater in the background; the error is a whole sentence.
pub type StartUpdater = Box<dyn FnOnce() -> BoxFuture<'static, Result<Arc<dyn UpdaterHost>, String>> + Send>;

enum Stage {
    /// Updates are switched off.
    Off,
    /// To be started after the first paint.
    Waiting(StartUpdater),
    /// On its way.
    Starting,
    /// At work.
    Running(Arc<dyn UpdaterHost>),
    /// It did not start; the sentence says why.
    Failed(String),
    /// Closed for good.
    Closed,
}

/// The updater of this process through its life: off, waiting for the first paint, running, closed.
#[derive(Clone)]
pub struct Updater {
    version: Arc<str>,
    stage: Arc<Mutex<Stage>>,
}

impl Updater {
    /// `start: None` means that updates are off.
    pub fn new(version: &str, start: Option<StartUpdater>) -> Self {
        let stage = start.map_or(Stage::Off, Stage::Waiting);
        Self {
            version: version.into(),
            stage: Arc::new(Mutex::new(stage)),
        }
    }

    fn with<T>(&self, read: impl FnOnce(&mut Stage) -> T) -> T {
        read(&mut lock(&self.stage))
    }

    fn running(&self) -> Option<Arc<dyn UpdaterHost>> {
        self.with(|stage| {
            if let Stage::Running(host) = stage {
                Some(host.clone())
            } else {
                None
            }
        })
    }

    /// Starts it if it waits, and gives every event to `emit` until it is closed. Later calls do nothing.
    pub async fn run(&self, emit: impl Fn(PearEvent) + Send) {
        use futures::StreamExt;
        let start = self.with(|stage| match std::mem::replace(stage, Stage::Starting) {
            Stage::Waiting(start) => Some(start),
            other => {
                *stage = other;
                None
            }
        });
        let Some(start) = start else { return };
        match start().await {
            Ok(host) => {
                let mut events = host.events();
                let closed = self.with(|stage| {
                    let closed = matches!(stage, Stage::Closed);
                    if !closed {
                        *stage = Stage::Running(host.clone());
                    }
                    closed
                });
                if closed {
                    return host.close().await;
                }
                for event in sticky(&host.state()) {
                    emit(event);
                }
                drop(host);
                while let Some(event) = events.next().await {
                    emit(event);
                }
            }
            Err(message) => {
                tracing::error!(%message, "updates are not available");
                self.with(|stage| *stage = Stage::Failed(message.clone()));
                emit(PearEvent {
                    name: "error".to_owned(),
                    data: json!({ "message": message }),
                });
            }
        }
    }

    /// What `bridge.updaterState()` answers. `enabled` says whether updates are looked for at all.
    pub fn state(&self) -> Value {
        let idle = |enabled: bool, error: Option<&str>| {
            json!({ "version": &*self.version, "updating": false, "updated": false, "applied": false,
                "enabled": enabled, "lastError": error })
        };
        self.with(|stage| match stage {
            Stage::Running(host) => {
                let mut state = host.state();
                if let Some(object) = state.as_object_mut() {
                    object.insert("enabled".to_owned(), Value::Bool(true));
                }
                state
            }
            Stage::Off | Stage::Closed => idle(false, None),
            Stage::Waiting(_) | Stage::Starting => idle(true, None),
            Stage::Failed(message) => idle(true, Some(message)),
        })
    }

    /// Events that a page which was not there yet must still learn of.
    pub fn missed_events(&self) -> Vec<PearEvent> {
        self.running().map_or_else(Vec::new, |host| sticky(&host.state()))
    }

    /// Swaps the bundle, if an update is ready. Returns after the swap.
    pub async fn apply(&self) -> Result<bool, Told> {
        match self.running() {
            Some(host) => host.apply().await,
            None => Ok(false),
        }
    }

    /// Lets the updater install a version again that was taken back.
    pub async fn retry(&self) -> Result<bool, String> {
        match self.running() {
            Some(host) => host.retry().await,
            None => Ok(false),
        }
    }

    /// Closes it; returns when its sockets and stores are closed.
    pub async fn close(&self) {
        if let Stage::Running(host) = self.with(|stage| std::mem::replace(stage, Stage::Closed)) {
            host.close().await;
        }
    }
}

fn sticky(state: &Value) -> Vec<PearEvent> {
    let is = |field: &str| state.get(field).and_then(Value::as_bool).unwrap_or(false);
    let event = |name: &str| PearEvent {
        name: name.to_owned(),
        data: state.clone(),
    };
    if is("updated") {
        vec![event("updated")]
    } else if is("updating") {
        vec![event("updating")]
    } else {
        Vec::new()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use futures::StreamExt;
    use tokio::sync::{broadcast, mpsc};

    use super::*;

    /// An updater driven by the test.
    pub(crate) struct FakeUpdater {
        pub(crate) events: broadcast::Sender<PearEvent>,
        pub(crate) state: Mutex<Value>,
        pub(crate) closed: Mutex<bool>,
    }

    impl FakeUpdater {
        pub(crate) fn new(state: Value) -> Arc<Self> {
            Arc::new(Self {
                events: broadcast::channel(16).0,
                state: Mutex::new(state),
                closed: Mutex::new(false),
            })
        }

        pub(crate) fn starter(self: &Arc<Self>) -> StartUpdater {
            let host = self.clone();
            Box::new(move || Box::pin(async move { Ok(host as Arc<dyn UpdaterHost>) }))
        }
    }

    #[async_trait]
    impl UpdaterHost for FakeUpdater {
        fn events(&self) -> BoxStream<'static, PearEvent> {
            let receiver = self.events.subscribe();
            futures::stream::unfold(receiver, |mut receiver| async move {
                receiver.recv().await.ok().map(|event| (event, receiver))
            })
            .boxed()
        }

        fn state(&self) -> Value {
            self.state.lock().unwrap().clone()
        }

        async fn apply(&self) -> Result<bool, Told> {
            let updated = self.state()["updated"] == true;
            if updated {
                Ok(true)
            } else {
                Err(Told {
                    code: "UPDATE_BUSY",
                    message: "no update is ready".to_owned(),
                })
            }
        }

        async fn retry(&self) -> Result<bool, String> {
            Ok(self.state()["takenBack"].is_string())
        }

        async fn close(&self) {
            *self.closed.lock().unwrap() = true;
        }
    }

    #[tokio::test]
    async fn off_means_no_update_and_no_error() {
        let updater = Updater::new("1.0.0", None);
        updater.run(|_| panic!("no events")).await;
        assert_eq!(updater.state()["enabled"], false);
        assert_eq!(updater.state()["version"], "1.0.0");
        assert_eq!(updater.apply().await, Ok(false));
    }

    #[tokio::test]
    async fn events_are_passed_on_and_missed_ones_can_be_asked_for() {
        let fake = FakeUpdater::new(json!({"version":"1.0.0","updating":false,"updated":false}));
        let updater = Updater::new("1.0.0", Some(fake.starter()));
        let (sender, mut received) = mpsc::unbounded_channel();
        let task = tokio::spawn({
            let updater = updater.clone();
            async move { updater.run(move |event| sender.send(event).unwrap()).await }
        });
        while fake.events.receiver_count() == 0 {
            tokio::task::yield_now().await;
        }
        assert!(updater.missed_events().is_empty());
        fake.events
            .send(PearEvent {
                name: "updating".into(),
                data: json!({}),
            })
            .unwrap();
        assert_eq!(received.recv().await.unwrap().name, "updating");
        *fake.state.lock().unwrap() = json!({"version":"1.0.0","updated":true});
        assert_eq!(updater.missed_events()[0].name, "updated");
        assert_eq!(updater.apply().await, Ok(true));
        updater.close().await;
        assert!(*fake.closed.lock().unwrap());
        assert_eq!(updater.state()["enabled"], false);
        task.abort();
    }

    #[tokio::test]
    async fn a_failed_start_is_an_error_event_and_a_state() {
        let start: StartUpdater = Box::new(|| Box::pin(async { Err("no upgrade link".to_owned()) }));
        let updater = Updater::new("1.0.0", Some(start));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        updater.run(move |event| log.lock().unwrap().push(event)).await;
        assert_eq!(seen.lock().unwrap()[0].data["message"], "no upgrade link");
        assert_eq!(updater.state()["lastError"], "no upgrade link");
    }
}
