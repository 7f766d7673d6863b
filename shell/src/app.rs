//! An app, from `main` to its exit code.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use app::{Folders, Manifest, layout};
use bosc_runtime::bundle::{Decision, Startup, handed_over, preflight};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tao::event_loop::EventLoopBuilder;
use tokio::sync::watch;

use crate::args::{About, Args, deep_link_in};
use crate::bridge::dispatch::{CommandsReady, Parts};
use crate::bridge::{self, Bridge, Commands, Page, ToPage};
use crate::error::ShellError;
use crate::instance::{self, Claim, Instance, Knock};
use crate::locate::{Located, Surroundings, locate};
use crate::log::Log;
use crate::page::{Assets, DriveAssets, PageServer, path};
use crate::pinned::Pinned;
use crate::updater::{StartUpdater, Updater};
use crate::window::{self, Mailbox, Outcome, UserEvent, WindowParts};
use crate::workers::Workers;
use crate::{dev, per_user, platform, restart, startup};

/// How long an app may run until its page is there. One that takes longer counts as failed, unless it comes up after all.
const WELL_WITHIN: Duration = Duration::from_secs(20);

/// How long closing the updater and the workers may take.
const CLOSE_WITHIN: Duration = Duration::from_secs(10);

type SetupFn = Box<dyn FnOnce(&mut Setup) -> Result<(), Box<dyn std::error::Error + Send + Sync>> + Send>;

type UpdaterFn = Box<dyn FnOnce(&AppHandle) -> StartUpdater>;

/// An app. The smallest one is `App::new().run()` in `main`.
#[derive(Default)]
pub struct App {
    setup: Option<SetupFn>,
    updater: Option<UpdaterFn>,
    assets: Option<Arc<dyn Assets>>,
}

/// What an app's setup function is given: where to keep things, and a place to define commands.
pub struct Setup {
    handle: AppHandle,
    commands: Commands,
}

/// A running app, as its own code sees it. Cheap to clone.
#[derive(Clone)]
pub struct AppHandle {
    shared: Arc<Shared>,
}

struct Shared {
    manifest: Manifest,
    located: Located,
    storage: PathBuf,
    args: Args,
    mailbox: Mailbox,
}

impl AppHandle {
    /// Sends an event to the page: `bridge.on(name, (payload) => …)`.
    pub fn emit(&self, name: &str, payload: &impl Serialize) {
        match serde_json::to_value(payload) {
            Ok(data) => self.shared.mailbox.post(
                ToPage::Event {
                    name: name.to_owned(),
                    data,
                },
                None,
            ),
            Err(error) => tracing::error!(name, %error, "an event cannot be written as JSON"),
        }
    }

    /// The app's `package.json`.
    pub fn package(&self) -> &Manifest {
        &self.shared.manifest
    }

    /// The folder of this instance. The host's own files are in it; keep yours in [`AppHandle::app_storage`].
    pub fn storage(&self) -> &Path {
        &self.shared.storage
    }

    /// The folder for the app's own files, `<storage>/app-storage`. It exists, and updates never touch it.
    pub fn app_storage(&self) -> PathBuf {
        Folders(&self.shared.storage).app_storage()
    }

    /// The app's folder (`package.json`, page) and bundle.
    pub fn located(&self) -> &Located {
        &self.shared.located
    }

    /// The command line; `args().rest` is what the host did not take.
    pub fn args(&self) -> &Args {
        &self.shared.args
    }

    /// Closes the app.
    pub fn quit(&self) {
        self.shared.mailbox.send(UserEvent::Leave(Outcome::Closed));
    }
}

impl Setup {
    /// The running app.
    pub fn handle(&self) -> &AppHandle {
        &self.handle
    }

    /// Defines a command: see [`Commands::add`].
    pub fn command<A, R, E, F>(&mut self, name: &str, function: F) -> &mut Self
    where
        A: DeserializeOwned + Send + 'static,
        R: Serialize + 'static,
        E: std::fmt::Display + 'static,
        F: Fn(A) -> Result<R, E> + Send + Sync + 'static,
    {
        self.commands.add(name, function);
        self
    }

    /// All commands, for [`Commands::add_async`].
    pub fn commands(&mut self) -> &mut Commands {
        &mut self.commands
    }
}

impl App {
    /// An app without commands of its own.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets what prepares the app: open files, define commands. It runs on a background thread while the window opens;
    /// commands that the page calls meanwhile wait for it. Its error reaches the page as the rejection of every command.
    pub fn setup<F, E>(mut self, setup: F) -> Self
    where
        F: FnOnce(&mut Setup) -> Result<(), E> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.setup = Some(Box::new(move |context| setup(context).map_err(Into::into)));
        self
    }

    /// Replaces the updater (for tests; the default is `bosc-runtime` with the package's `upgrade` link).
    pub fn updater(mut self, updater: impl FnOnce(&AppHandle) -> StartUpdater + 'static) -> Self {
        self.updater = Some(Box::new(updater));
        self
    }

    /// Replaces the place the page's files come from (the default is the app's folder), for example by a Hyperdrive.
    pub fn assets(mut self, assets: Arc<dyn Assets>) -> Self {
        self.assets = Some(assets);
        self
    }

    /// Runs the app with the arguments of this process. Must be called from `main`, before any thread is started.
    ///
    /// Exit codes: 0 closed (or the first instance was told), 1 could not run, 2 wrong arguments. What went wrong is
    /// printed; an installed app also shows it in a window, unless `BOSC_NO_ERROR_WINDOW` is set.
    pub fn run(self) -> ExitCode {
        base::heap::share();
        platform::prepare();
        platform::reap_inherited();
        let mut args = std::env::args_os();
        let program = args.next().map(PathBuf::from).unwrap_or_default();
        let program = program
            .file_name()
            .map_or_else(|| "app".into(), |name| name.to_string_lossy().into_owned());
        let mut args = match Args::parse_from_os(&program, args, about) {
            Ok(args) => args,
            Err(error) => {
                let _ = error.print();
                return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
            }
        };
        let around = match Surroundings::here() {
            Ok(around) => around,
            Err(error) => {
                eprintln!("{program}: this program or the current folder cannot be found: {error}");
                return ExitCode::FAILURE;
            }
        };
        let log = Log::begin(args.log_level);
        dev::restrict(&mut args, dev::allowed(around.is_installed()));
        if let Some(code) = preflight::answer(|| find(&args, &around)) {
            return code;
        }
        platform::sandbox_page();
        match self.start(args, &around, &log) {
            Ok(code) => code,
            Err(error) => {
                eprintln!("{program}: {error}");
                if error.before_window() && around.is_installed() && may_show_errors() {
                    let _ = window::show_error(&program, &error.to_string());
                }
                ExitCode::FAILURE
            }
        }
    }

    fn start(self, mut args: Args, around: &Surroundings, log: &Log) -> Result<ExitCode, ShellError> {
        // An update may have brought a bundle in which nothing can be read: its start is counted all the same.
        let mut bundle = around.bundle().filter(|_| args.dev.is_none());
        let found = find(&args, around);
        let product_name = match &found {
            Ok((_, manifest)) => manifest.product_name.clone(),
            Err(_) if bundle.is_some() => around.product_name(),
            Err(_) => return found.map(|_| ExitCode::FAILURE),
        };
        let storage = startup::storage_dir(&args, bundle.is_some(), &product_name);
        let unusable = |source| ShellError::Storage {
            path: storage.clone(),
            source,
        };
        if bundle.is_none() && args.storage.is_none() {
            let path = startup::dev_dir();
            startup::own_dir(&path).map_err(|source| ShellError::Storage { path, source })?;
        }
        // What the app and the page keep is nobody else's.
        let folders = Folders(&storage);
        for folder in [folders.app_storage(), folders.webview()] {
            bosc_runtime::private_dir(&folder).map_err(unusable)?;
        }

        let instance = match instance::claim(
            &storage,
            &Knock {
                args: args.rest.clone(),
            },
        )? {
            Claim::First(instance) => instance,
            Claim::Second => {
                eprintln!("{product_name} is already running; its window has been brought to the front.");
                return Ok(ExitCode::SUCCESS);
            }
        };
        log.keep_in(&storage);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("bosc")
            .enable_all()
            .build()
            .map_err(ShellError::Runtime)?;
        let to_quit = signals(&runtime);
        if args.retry_update
            && let Err(source) = bosc_runtime::bundle::forgive(&storage)
        {
            return Err(unusable(source));
        }
        if let (Some(packaged), Ok((_, manifest))) = (bundle.as_deref(), &found)
            && per_user::is_packaged(packaged)
        {
            let why = match per_user::program(&manifest.name, packaged, &storage) {
                // The copy claims the storage anew: what this process holds of it ends with its program.
                Ok(program) => restart::restart(None, &program).to_string(),
                Err(why) => why,
            };
            tracing::warn!("this start shows the package's own version, which cannot update itself: {why}");
            (args.updates, args.no_updates) = (false, true);
            // What the note says is about the copy.
            bundle = None;
        }
        let startup = match bundle.as_deref().map(|bundle| Startup::begin(&storage, bundle)) {
            None => None,
            Some(Decision::Run(startup)) => Some(startup),
            Some(Decision::RolledBack { from, to }) => {
                eprintln!("{product_name}: version {from} did not start; going back to {to}");
                drop(instance);
                let bundle = bundle.as_deref();
                return Err(restart::restart(bundle, &around.exe));
            }
        };
        if let Some(bundle) = bundle.as_deref()
            && let Some(command) = handed_over(bundle, &around.exe)
        {
            // It claims the storage anew.
            drop(instance);
            return Err(restart::go_on_as(command));
        }
        let _panicking = OnPanic(startup.clone());
        let opened = found.and_then(|found| {
            let (located, manifest) = found;
            for unknown in manifest.unknown() {
                tracing::warn!("{}: {unknown}", manifest.document.origin());
            }
            let opening = Opening {
                located,
                manifest,
                storage,
                instance,
                startup: startup.clone(),
                runtime,
                to_quit,
            };
            self.open(args, around, opening)
        });
        match (&opened, startup) {
            (Err(ShellError::NoDisplay), Some(startup)) => startup.not_tried(),
            // It did open.
            (Ok(_) | Err(ShellError::Restart { .. }), _) | (_, None) => {}
            (Err(_), Some(startup)) => startup.failed(),
        }
        opened
    }

    /// Opens the window and runs until it is closed. Says how this start went, unless it ends with an error.
    fn open(self, args: Args, around: &Surroundings, opening: Opening) -> Result<ExitCode, ShellError> {
        let Opening {
            located,
            manifest,
            storage,
            mut instance,
            startup,
            runtime,
            to_quit,
        } = opening;
        platform::check_display()?;
        let source = dev::page(&args, &located, &manifest, &path::url_path(&manifest.page))?;
        tracing::info!(name = %manifest.name, version = %manifest.version, bundle = ?located.bundle, "starts");

        let mut event_loop = EventLoopBuilder::<UserEvent>::with_user_event().build();
        let mailbox = Mailbox(event_loop.create_proxy());
        let handle = AppHandle {
            shared: Arc::new(Shared {
                manifest: manifest.clone(),
                located: located.clone(),
                storage: storage.clone(),
                args: args.clone(),
                mailbox: mailbox.clone(),
            }),
        };
        dev::listen(&args, &located, mailbox.clone());
        instance.listen({
            let (mailbox, scheme) = (mailbox.clone(), manifest.name.clone());
            move |knock| {
                mailbox.send(UserEvent::Focus);
                if let Some(link) = deep_link_in(&knock.args, &scheme) {
                    mailbox.send(UserEvent::DeepLink(link.to_owned()));
                }
            }
        });
        runtime.spawn({
            let (handle, mut to_quit) = (handle.clone(), to_quit);
            async move {
                if to_quit.wait_for(|told| *told).await.is_ok() {
                    handle.quit();
                }
            }
        });

        let commands = run_setup(&runtime, self.setup, handle.clone());
        let start_updater = match self.updater {
            Some(updater) => Some(updater(&handle)),
            None => startup::updater(&args, &located, &manifest, &storage),
        };
        let updater = Updater::new(&manifest.version.to_string(), start_updater);
        let page: Arc<dyn Page> = Arc::new(mailbox.clone());
        let workers = Workers::new(located.app.clone(), Folders(&storage).app_storage(), page.clone());
        let token = format!("{:032x}", rand::random::<u128>());
        let bridge = Bridge::new(Parts {
            token: token.clone(),
            origin: source.origin.clone(),
            runtime: runtime.handle().clone(),
            page,
            host: Arc::new(mailbox.clone()),
            commands,
            updater: updater.clone(),
            workers: workers.clone(),
        });

        let pinned = Pinned::new(&located.app);
        let assets = self
            .assets
            .unwrap_or_else(|| Arc::new(DriveAssets::folder(pinned.path()).said_to_be_at(&located.app)));
        let page_there =
            source.foreign || matches!(runtime.block_on(assets.size(&manifest.page)), Ok(Some(_)));
        if !page_there {
            // The window opens all the same and says so; an update that repairs the app can still arrive.
            let error = ShellError::NoPage {
                file: located.app.join(&manifest.page),
            };
            eprintln!("{}: {error}", manifest.product_name);
            startup.iter().for_each(Startup::failed);
        }
        if let Some(startup) = startup.clone() {
            runtime.spawn(async move {
                tokio::time::sleep(WELL_WITHIN).await;
                startup.failed();
            });
        }
        let started = startup.clone();
        let on_first_paint = Box::new(move || {
            if page_there && let Some(startup) = started {
                startup.started_well();
            }
        });
        let on_broken = {
            let (startup, name) = (startup.clone(), manifest.product_name.clone());
            Box::new(move |reason: &str| {
                eprintln!("{name}: the page failed before it showed anything: {reason}");
                startup.iter().for_each(Startup::failed);
            })
        };
        // The swarm starts once the window is up, so that it never delays the first paint.
        let on_up = {
            let (updater, bridge, tasks) = (updater.clone(), bridge.clone(), runtime.handle().clone());
            Box::new(move || {
                tasks.spawn(async move { updater.run(move |event| bridge.pear(event)).await });
            })
        };
        let outcome = window::run(
            &mut event_loop,
            WindowParts {
                server: PageServer::new(assets, manifest.content_security_policy.as_deref())
                    .only(manifest.files.as_deref()),
                script: bridge::script(&token, &source.origin, manifest.document.value()),
                source,
                bridge,
                app: located.app.clone(),
                data_dir: Folders(&storage).webview(),
                automation: dev::automation(dev::allowed(around.is_installed())),
                developer: located.bundle.is_none(),
                runtime: runtime.handle().clone(),
                on_first_paint,
                on_broken,
                on_up,
                deep_link: args.deep_link(&manifest.name).map(str::to_owned),
                manifest,
            },
        )?;

        if let (Outcome::Closed, Some(startup)) = (outcome, startup) {
            // A person did not wait for the page, or the session ended.
            startup.not_tried();
        }
        close(runtime, &updater, &workers);
        drop(instance);
        match outcome {
            Outcome::Closed if page_there => Ok(ExitCode::SUCCESS),
            Outcome::Closed => Ok(ExitCode::FAILURE),
            Outcome::Restart => Err(restart::restart(located.bundle.as_deref(), &around.exe)),
        }
    }
}

/// What a start has found and claimed before it opens its window.
struct Opening {
    located: Located,
    manifest: Manifest,
    storage: PathBuf,
    instance: Instance,
    /// `None` in development.
    startup: Option<Startup>,
    runtime: tokio::runtime::Runtime,
    /// Becomes true when the system wants the app to end.
    to_quit: watch::Receiver<bool>,
}

/// A start that ends in a panic has failed.
struct OnPanic(Option<Startup>);

impl Drop for OnPanic {
    fn drop(&mut self) {
        if let Some(startup) = self.0.as_ref().filter(|_| std::thread::panicking()) {
            startup.failed();
        }
    }
}

/// The app and its package.json.
fn find(args: &Args, around: &Surroundings) -> Result<(Located, Manifest), ShellError> {
    let located = locate(args.dev.as_deref(), around)?;
    let manifest = Manifest::read(&layout::manifest(&located.app))?;
    Ok((located, manifest))
}

/// What the package.json that this program would show says of its app.
fn about(dev: Option<&Path>) -> Option<About> {
    let located = locate(dev, &Surroundings::here().ok()?).ok()?;
    let manifest = Manifest::read(&layout::manifest(&located.app)).ok()?;
    Some(About {
        version: manifest.version.to_string(),
        description: manifest
            .document
            .field("description")
            .unwrap_or_default()
            .to_owned(),
        name: manifest.window.title,
    })
}

/// Whether an error may open a window: there is a display, and `BOSC_NO_ERROR_WINDOW` (for scripts) is not set.
fn may_show_errors() -> bool {
    std::env::var_os("BOSC_NO_ERROR_WINDOW").is_none() && platform::check_display().is_ok()
}

/// Closes everything that holds sockets, stores or processes, and waits for it.
fn close(runtime: tokio::runtime::Runtime, updater: &Updater, workers: &Workers) {
    let closing = async {
        tokio::join!(updater.close(), workers.close());
    };
    if runtime
        .block_on(async { tokio::time::timeout(CLOSE_WITHIN, closing).await })
        .is_err()
    {
        tracing::error!(
            "closing took more than {} s; going on without",
            CLOSE_WITHIN.as_secs()
        );
    }
    runtime.shutdown_timeout(Duration::from_secs(2));
}

fn run_setup(
    runtime: &tokio::runtime::Runtime,
    setup: Option<SetupFn>,
    handle: AppHandle,
) -> watch::Receiver<CommandsReady> {
    let (ready, commands) = watch::channel(None);
    runtime.spawn_blocking(move || {
        let mut context = Setup {
            handle,
            commands: Commands::default(),
        };
        let result = match setup.map(|setup| setup(&mut context)) {
            None | Some(Ok(())) => Ok(Arc::new(context.commands)),
            Some(Err(error)) => {
                eprintln!("{}: {error}", context.handle.package().product_name);
                Err(error.to_string())
            }
        };
        ready.send_replace(Some(result));
    });
    commands
}

/// SIGINT and SIGTERM close the app as its window's close button does, however early they come.
fn signals(runtime: &tokio::runtime::Runtime) -> watch::Receiver<bool> {
    let (told, to_quit) = watch::channel(false);
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let _context = runtime.enter();
        if let (Ok(mut interrupt), Ok(mut terminate)) =
            (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
        {
            runtime.spawn(async move {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                told.send_replace(true);
            });
        }
    }
    #[cfg(not(unix))]
    let _ = (runtime, told);
    to_quit
}
