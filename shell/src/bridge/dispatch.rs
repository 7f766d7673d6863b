//! Carries out what the page asks: commands, updater calls, workers; and answers.

use std::sync::Arc;

use bosc_runtime::Told;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::commands::{CommandError, Commands};
use super::message::{self, Call, Envelope, Rejected, ToPage};
use crate::updater::{PearEvent, Updater};
use crate::workers::Workers;

/// The page, as far as the bridge needs it.
pub trait Page: Send + Sync {
    /// Hands a message to the page. Order is kept. The permit is dropped once the message has been handed over.
    fn post(&self, message: ToPage, permit: Option<OwnedSemaphorePermit>);
}

/// What only the window and the process can do.
pub trait HostActions: Send + Sync {
    /// The document is there. `started`: when the page's first script ran, milliseconds since 1970.
    fn hello(&self, started: f64);
    /// The first frame that shows something has been painted.
    fn painted(&self);
    /// The page failed before it showed anything.
    fn broken(&self, reason: &str);
    /// Close the app's window.
    fn close(&self);
    /// Close everything and start the app again with the same arguments.
    fn restart(&self);
    /// Open a link in the system's browser or mail program.
    fn open_external(&self, url: &str);
}

/// The app's commands once its setup is done, or the sentence that says why it failed.
pub type CommandsReady = Option<Result<Arc<Commands>, String>>;

/// Everything the bridge reaches.
pub struct Parts {
    /// The window's secret.
    pub token: String,
    /// The only origin that may call.
    pub origin: String,
    /// Where the work runs.
    pub runtime: tokio::runtime::Handle,
    /// Where answers go.
    pub page: Arc<dyn Page>,
    /// What only the window can do.
    pub host: Arc<dyn HostActions>,
    /// The app's commands, `None` until its setup is done.
    pub commands: watch::Receiver<CommandsReady>,
    /// The updater.
    pub updater: Updater,
    /// The workers.
    pub workers: Workers,
}

/// The host's side of the bridge. Clones share everything.
#[derive(Clone)]
pub struct Bridge {
    parts: Arc<Parts>,
}

impl Bridge {
    /// A bridge of one window.
    pub fn new(parts: Parts) -> Self {
        Self {
            parts: Arc::new(parts),
        }
    }

    /// Takes one message as the web view delivered it. Never blocks; answers come later through [`Page::post`].
    pub fn receive(&self, raw: &str, url: &str) -> Result<(), Rejected> {
        let Envelope { page, id, call, .. } =
            message::accept(raw, url, &self.parts.origin, &self.parts.token)?;
        match call {
            Call::Hello { started } => {
                self.parts.host.hello(started);
                for event in self.parts.updater.missed_events() {
                    self.pear(event);
                }
            }
            Call::Painted {} => self.parts.host.painted(),
            Call::Broken { reason } => self.parts.host.broken(&reason),
            Call::Close {} => self.parts.host.close(),
            Call::OpenExternal { url } => self.parts.host.open_external(&url),
            Call::Report { message } => tracing::warn!(target: "bosc_shell::page", "{message}"),
            call => {
                let bridge = self.clone();
                self.parts.runtime.spawn(async move {
                    let result = bridge.answer(call).await;
                    if let Some(id) = id {
                        bridge.reply(page, id, result);
                    }
                });
            }
        }
        Ok(())
    }

    /// Tells the page of an updater event.
    pub fn pear(&self, event: PearEvent) {
        self.parts.page.post(
            ToPage::Pear {
                name: event.name,
                data: event.data,
            },
            None,
        );
    }

    async fn answer(&self, call: Call) -> Result<Value, CommandError> {
        let parts = &self.parts;
        match call {
            Call::Invoke { command, args } => self.commands().await?.call(&command, args).await,
            Call::UpdaterState {} => Ok(parts.updater.state()),
            Call::ApplyUpdate {} => match parts.updater.apply().await {
                Ok(applied) => Ok(json!(applied)),
                Err(Told { code, message }) => Err(CommandError::new(code, message)),
            },
            Call::RetryUpdate {} => match parts.updater.retry().await {
                Ok(retried) => Ok(json!(retried)),
                Err(message) => Err(CommandError::new("UPDATE_FAILED", message)),
            },
            Call::AppAfterUpdate {} => {
                parts.host.restart();
                Ok(Value::Null)
            }
            Call::StartWorker { spec } => parts.workers.start(&spec).map(|()| json!(true)),
            Call::WriteWorker { spec, data } => parts.workers.write(&spec, &data).await.map(|()| json!(true)),
            Call::Hello { .. }
            | Call::Painted {}
            | Call::Broken { .. }
            | Call::Close {}
            | Call::OpenExternal { .. }
            | Call::Report { .. } => Ok(Value::Null),
        }
    }

    async fn commands(&self) -> Result<Arc<Commands>, CommandError> {
        let mut ready = self.parts.commands.clone();
        let closed = || CommandError::new("CLOSING", "The app is closing.");
        let result = ready
            .wait_for(Option::is_some)
            .await
            .map_err(|_| closed())?
            .clone();
        result
            .ok_or_else(closed)?
            .map_err(|message| CommandError::new("SETUP_FAILED", message))
    }

    fn reply(&self, page: String, id: u64, result: Result<Value, CommandError>) {
        let (value, error) = match result {
            Ok(value) => (value, None),
            Err(error) => (Value::Null, Some(error.failure())),
        };
        self.parts.page.post(
            ToPage::Reply {
                page,
                id,
                value,
                error,
            },
            None,
        );
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Mutex;

    use tokio::sync::mpsc;

    use super::*;
    use crate::updater::tests::FakeUpdater;

    /// Collects what the page would get.
    pub(crate) struct PageLog(mpsc::UnboundedSender<ToPage>);

    impl PageLog {
        pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<ToPage>) {
            let (sender, receiver) = mpsc::unbounded_channel();
            (Self(sender), receiver)
        }
    }

    impl Page for PageLog {
        fn post(&self, message: ToPage, _permit: Option<OwnedSemaphorePermit>) {
            let _ = self.0.send(message);
        }
    }

    #[derive(Default)]
    struct HostLog(Mutex<Vec<String>>);

    impl HostActions for HostLog {
        fn hello(&self, started: f64) {
            self.0.lock().unwrap().push(format!("hello {started}"));
        }
        fn painted(&self) {
            self.0.lock().unwrap().push("painted".into());
        }
        fn broken(&self, reason: &str) {
            self.0.lock().unwrap().push(format!("broken {reason}"));
        }
        fn close(&self) {
            self.0.lock().unwrap().push("close".into());
        }
        fn restart(&self) {
            self.0.lock().unwrap().push("restart".into());
        }
        fn open_external(&self, url: &str) {
            self.0.lock().unwrap().push(format!("open {url}"));
        }
    }

    struct Rig {
        bridge: Bridge,
        page: mpsc::UnboundedReceiver<ToPage>,
        host: Arc<HostLog>,
        ready: watch::Sender<CommandsReady>,
    }

    fn rig(updater: Updater) -> Rig {
        let (log, page) = PageLog::new();
        let log: Arc<dyn Page> = Arc::new(log);
        let host = Arc::new(HostLog::default());
        let (ready, commands) = watch::channel(None);
        let bridge = Bridge::new(Parts {
            token: "t".into(),
            origin: "app://localhost".into(),
            runtime: tokio::runtime::Handle::current(),
            page: log.clone(),
            host: host.clone(),
            commands,
            updater,
            workers: Workers::new("/nonexistent".into(), "/s".into(), log),
        });
        Rig {
            bridge,
            page,
            host,
            ready,
        }
    }

    impl Rig {
        fn send(&self, id: Option<u64>, call: Value) {
            let raw = json!({ "token": "t", "page": "p", "id": id, "call": call }).to_string();
            self.bridge
                .receive(&raw, "app://localhost/renderer/index.html")
                .unwrap();
        }

        async fn ask(&mut self, id: u64, call: Value) -> Result<Value, message::Failure> {
            self.send(Some(id), call);
            match self.page.recv().await.unwrap() {
                ToPage::Reply {
                    page,
                    id: answered,
                    value,
                    error,
                } => {
                    assert_eq!((page.as_str(), answered), ("p", id));
                    error.map_or(Ok(value), Err)
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn commands_wait_for_the_setup() {
        let mut rig = rig(Updater::new("1.0.0", None));
        rig.send(Some(1), json!({"kind":"invoke","command":"double","args":4}));
        tokio::task::yield_now().await;
        assert!(rig.page.try_recv().is_err(), "answered before the setup was done");
        let mut commands = Commands::default();
        commands.add("double", |n: i64| Ok::<_, String>(n * 2));
        rig.ready.send(Some(Ok(Arc::new(commands)))).unwrap();
        let ToPage::Reply { value, .. } = rig.page.recv().await.unwrap() else {
            panic!()
        };
        assert_eq!(value, json!(8));
        let error = rig
            .ask(2, json!({"kind":"invoke","command":"none"}))
            .await
            .unwrap_err();
        assert_eq!(error.code.as_deref(), Some("UNKNOWN_COMMAND"));
    }

    #[tokio::test]
    async fn a_failed_setup_rejects_every_command() {
        let mut rig = rig(Updater::new("1.0.0", None));
        rig.ready
            .send(Some(Err("the transcript cannot be opened".into())))
            .unwrap();
        let error = rig
            .ask(1, json!({"kind":"invoke","command":"x"}))
            .await
            .unwrap_err();
        assert_eq!(error.message, "the transcript cannot be opened");
    }

    #[tokio::test]
    async fn a_page_that_comes_late_learns_of_the_update() {
        let fake = FakeUpdater::new(
            json!({"version":"1.0.0","updated":true,"nextVersion":"1.0.1","takenBack":"1.0.1"}),
        );
        let updater = Updater::new("1.0.0", Some(fake.starter()));
        let task = tokio::spawn({
            let updater = updater.clone();
            async move { updater.run(|_| ()).await }
        });
        while updater.missed_events().is_empty() {
            tokio::task::yield_now().await;
        }
        let mut rig = rig(updater);
        rig.send(None, json!({"kind":"hello","started":5.0}));
        let ToPage::Pear { name, data } = rig.page.recv().await.unwrap() else {
            panic!()
        };
        assert_eq!(
            (name.as_str(), &data["nextVersion"]),
            ("updated", &json!("1.0.1"))
        );
        assert_eq!(
            rig.ask(3, json!({"kind":"updaterState"})).await.unwrap()["updated"],
            true
        );
        assert_eq!(
            rig.ask(4, json!({"kind":"applyUpdate"})).await.unwrap(),
            json!(true)
        );
        assert_eq!(
            rig.ask(6, json!({"kind":"retryUpdate"})).await.unwrap(),
            json!(true)
        );
        assert_eq!(
            rig.ask(5, json!({"kind":"appAfterUpdate"})).await.unwrap(),
            Value::Null
        );
        rig.send(None, json!({"kind":"painted"}));
        rig.send(None, json!({"kind":"broken","reason":"x"}));
        rig.send(None, json!({"kind":"close"}));
        assert_eq!(
            *rig.host.0.lock().unwrap(),
            ["hello 5", "restart", "painted", "broken x", "close"]
        );
        task.abort();
    }

    #[tokio::test]
    async fn workers_and_links() {
        let mut rig = rig(Updater::new("1.0.0", None));
        let error = rig
            .ask(1, json!({"kind":"startWorker","spec":"/workers/main.js"}))
            .await
            .unwrap_err();
        assert_eq!(error.code.as_deref(), Some("WORKER_MISSING"));
        rig.send(None, json!({"kind":"openExternal","url":"https://example.com/"}));
        assert_eq!(*rig.host.0.lock().unwrap(), ["open https://example.com/"]);
    }
}
