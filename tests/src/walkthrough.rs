//! The over-the-air walkthrough: the installed chat is open, a new version is released, the app takes it over and restarts.
//!
//! `cargo xtask demo` narrates it, `tests/walkthrough.rs` asserts it; both run this code, on real programs alone.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use app::{Format, Host, Layout};

use crate::display::Display;
use crate::peers::{Place, fresh_home, program, root};
use crate::process::{Process, processes_with, wait_until};
use crate::update::installed_version;
use crate::webdriver::{WebDriver, free_port};

/// The three messages.
pub const MESSAGES: [&str; 3] = [
    "Hello from version 1.0.1",
    "This app came from a peer-to-peer drive",
    "Will you still know me after the update?",
];

/// The `upgrade` field of the template.
const PLACEHOLDER: &str = "pear://replace-with-your-provision-link";

/// Programs and folders of a run.
pub struct Setup {
    /// Where everything goes: stores, project, screenshots, logs.
    pub home: PathBuf,
    /// The `bosc` program.
    pub bosc: PathBuf,
    /// The chat's program.
    pub chat: PathBuf,
    /// The template's folder.
    pub template: PathBuf,
    /// Where screenshots go.
    pub shots: PathBuf,
    /// What is made, released and installed: the bundle as a folder, or as one file, an AppImage.
    pub format: Format,
}

impl Setup {
    /// For a test of this name, with the programs that `cargo xtask test` built.
    pub fn for_test(name: &str) -> Result<Self> {
        let home = fresh_home(name)?;
        Ok(Self {
            shots: home.join("shots"),
            home,
            bosc: program("bosc")?,
            chat: program("pear-chat")?,
            template: root().join("template-app"),
            format: Format::Folder,
        })
    }

    /// What `bosc make` is asked for.
    fn format_name(&self) -> &'static str {
        match self.format {
            Format::Folder => "folder",
            Format::File => "appimage",
        }
    }

    /// What the bundle is called.
    fn bundle_name(&self) -> String {
        Layout::of(&Host::current(), self.format).bundle_name("PearChat")
    }
}

/// The release side: a store, a DHT, and the project of the chat.
pub struct Workshop {
    setup: Setup,
    /// Folder, DHT and `bosc`.
    pub place: Place,
    /// The stage link.
    pub stage: String,
    /// The provision link, which the app follows.
    pub provision: String,
    /// The versioned link that is in production, for `bosc provision`.
    pub production: String,
    seed: Option<Process>,
}

impl Workshop {
    /// Starts a local DHT, mints the links and copies the template.
    pub fn open(setup: Setup, say: &mut dyn FnMut(&str)) -> Result<Self> {
        let place = Place::at(setup.home.clone(), setup.bosc.clone())?;
        say(&format!(
            "bosc dht                      a DHT of our own at {}",
            place.bootstrap
        ));
        let mut workshop = Self {
            setup,
            place,
            stage: String::new(),
            provision: String::new(),
            production: String::new(),
            seed: None,
        };
        workshop.stage = workshop.bosc(&["touch"])?.trim().to_owned();
        workshop.provision = workshop.bosc(&["touch"])?.trim().to_owned();
        workshop.production = workshop.provision.replace("://", "://0.0.");
        say(&format!(
            "bosc touch                    stage link      {}",
            workshop.stage
        ));
        say(&format!(
            "bosc touch                    provision link  {}",
            workshop.provision
        ));
        let project = workshop.project();
        copy_folder(&workshop.setup.template, &project)?;
        workshop.follow_instead(PLACEHOLDER, &workshop.provision)?;
        Ok(workshop)
    }

    /// Makes the chat follow another link than the provision link.
    pub fn follow(&self, link: &str) -> Result<()> {
        self.follow_instead(&self.provision, link)
    }

    fn follow_instead(&self, before: &str, link: &str) -> Result<()> {
        let package = self.project().join("package.json");
        let text = fs::read_to_string(&package)?;
        ensure!(
            text.contains(before),
            "the `upgrade` field of package.json is not {before}"
        );
        fs::write(&package, text.replace(before, link))?;
        Ok(())
    }

    /// The chat's project folder.
    pub fn project(&self) -> PathBuf {
        self.setup.home.join("pear-chat")
    }

    /// Changes the header of the chat's page.
    pub fn edit_header(&self, header: &str) -> Result<()> {
        let page = self.project().join("renderer/index.html");
        let html = fs::read_to_string(&page)?;
        let before = ">Pear chat</h1>";
        ensure!(
            html.contains(before),
            "the template's header is not the documented one"
        );
        fs::write(&page, html.replace(before, &format!(">{header}</h1>")))?;
        Ok(())
    }

    /// Where logs are kept.
    pub fn logs(&self) -> PathBuf {
        self.place.logs()
    }

    /// Runs `bosc` in the workshop; its stdout.
    pub fn bosc(&self, args: &[&str]) -> Result<String> {
        self.place.run("store", args)
    }

    /// version, make, build, stage --dry-run, stage, provision; returns the version.
    pub fn release(&self, bump: &str, say: &mut dyn FnMut(&str)) -> Result<String> {
        self.release_with(bump, say, |_| Ok(()))
    }

    /// As [`release`](Self::release), with the bundle changed by `spoil` after it was made.
    pub fn release_with(
        &self,
        bump: &str,
        say: &mut dyn FnMut(&str),
        spoil: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<String> {
        let version = self
            .bosc(&["version", bump, "--package", "pear-chat/package.json"])?
            .trim()
            .to_owned();
        say(&format!("bosc version {bump:<16} {version}"));
        let number = version.trim_start_matches('v').to_owned();
        let chat = self.setup.chat.display().to_string();
        let format = self.setup.format_name();
        self.bosc(&["make", "pear-chat", "--bin", &chat, "--format", format])?;
        let host = Host::current().to_string();
        let bundle = format!("out/PearChat-{host}/{}", self.setup.bundle_name());
        say(&format!("bosc make                     {bundle}"));
        let bundle = format!("./pear-chat/{bundle}");
        spoil(&self.setup.home.join(&bundle))?;
        let target = format!("pear-chat-{number}");
        let app = format!("--{host}-app");
        self.bosc(&[
            "build",
            "--package=./pear-chat/package.json",
            &app,
            &bundle,
            "--target",
            &target,
        ])?;
        say(&format!("bosc build                    {target}/"));
        let folder = format!("./{target}");
        let dry = self.bosc(&["stage", "--dry-run", &self.stage, &folder])?;
        say(&format!(
            "bosc stage --dry-run          {} files would change",
            dry.lines().count()
        ));
        let staged = self.bosc(&["stage", &self.stage, &folder])?;
        let verlink = staged
            .lines()
            .find(|line| line.starts_with("pear://"))
            .context("stage printed no link")?;
        say(&format!("bosc stage                    {verlink}"));
        self.bosc(&["provision", verlink, &self.provision, &self.production])?;
        say("bosc provision                onto the link that the app follows");
        Ok(number)
    }

    /// The provision link with its present version.
    pub fn provisioned(&self) -> Result<String> {
        let printed = self.bosc(&["info", &self.provision])?;
        let line = printed.lines().find_map(|line| line.strip_prefix("version link"));
        Ok(line.context("info printed no version link")?.trim().to_owned())
    }

    /// Starts `bosc seed` of the provision link and waits until it is announced.
    pub fn seed(&mut self) -> Result<()> {
        self.seed = Some(self.place.seed("store", &self.provision)?);
        Ok(())
    }

    /// Ends the seed.
    pub fn stop_seeding(&mut self) {
        self.seed = None;
    }

    /// The bundle made last.
    pub fn made(&self) -> PathBuf {
        let folder = format!("out/PearChat-{}", Host::current());
        self.project().join(folder).join(self.setup.bundle_name())
    }

    /// Installs the bundle made last into a folder of its own, as a person would unpack it.
    pub fn install(&self) -> Result<Installed> {
        let apps = self.setup.home.join("apps");
        let bundle = apps.join(self.setup.bundle_name());
        if self.made().is_dir() {
            copy_folder(&self.made(), &bundle)?;
        } else {
            fs::create_dir_all(&apps)?;
            fs::copy(self.made(), &bundle)?;
        }
        Installed::at(&self.place, bundle)
    }

    /// Where a screenshot goes.
    pub fn shot(&self, name: &str) -> PathBuf {
        self.setup.shots.join(name)
    }
}

/// The app as installed.
pub struct Installed {
    /// Its folder, which bears the product's name, or its file.
    pub bundle: PathBuf,
    /// Its data folder.
    pub storage: PathBuf,
    bootstrap: String,
    logs: PathBuf,
    /// Its temporary files: an AppImage is mounted or unpacked there.
    temp: PathBuf,
    /// Its environment besides.
    pub more_env: Vec<(String, String)>,
    /// Where its web view listens for automation.
    inspector: String,
}

impl Installed {
    /// A bundle as it lies there, with data of its own in `place`.
    ///
    /// # Errors
    /// If no port is free for automation.
    pub fn at(place: &Place, bundle: PathBuf) -> Result<Self> {
        Ok(Self {
            bundle,
            storage: place.home.join("app-data"),
            bootstrap: place.bootstrap.clone(),
            logs: place.logs(),
            temp: place.home.join("app-temp"),
            more_env: Vec::new(),
            inspector: format!("127.0.0.1:{}", free_port()?),
        })
    }

    /// The program.
    pub fn program(&self) -> PathBuf {
        Layout::at(&Host::current(), &self.bundle).program(&self.bundle)
    }

    /// The arguments of a start, with `more`.
    pub fn args(&self, more: &[&str]) -> Vec<String> {
        let mut args = vec!["--storage".to_owned(), self.storage.display().to_string()];
        args.extend([
            "--bootstrap".to_owned(),
            self.bootstrap.clone(),
            "--delay".to_owned(),
            "0".to_owned(),
        ]);
        args.extend(more.iter().map(|arg| (*arg).to_owned()));
        args
    }

    /// The environment of a start that may be automated.
    pub fn env(&self, display: &Display) -> Vec<(String, String)> {
        let mut env = display.env();
        env.push(("BOSC_AUTOMATION".to_owned(), "1".to_owned()));
        // Set for the whole life of the process and kept when it restarts itself: it is how a driver finds it again.
        env.push(("WEBKIT_INSPECTOR_SERVER".to_owned(), self.inspector.clone()));
        if self.bundle.is_file() {
            let _ = fs::create_dir_all(&self.temp);
            env.push(("TMPDIR".to_owned(), self.temp.display().to_string()));
        }
        env.extend(self.more_env.clone());
        env
    }

    /// Fails if an AppImage of this app stays mounted or unpacked after it has ended.
    ///
    /// # Errors
    /// What is left.
    pub fn expect_nothing_left(&self) -> Result<()> {
        let left = || {
            let entries = fs::read_dir(&self.temp).into_iter().flatten().flatten();
            let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
            names
                .filter(|name| name.starts_with(".mount_") || name.starts_with("appimage_extracted_"))
                .collect::<Vec<_>>()
        };
        wait_until(
            "nothing is left mounted or unpacked",
            Duration::from_secs(20),
            || Ok(left().is_empty().then_some(())),
        )
        .with_context(|| format!("left in {}: {:?}", self.temp.display(), left()))
    }

    /// The processes that run now of those that were started with [`env`](Self::env): the app and its web view's.
    pub fn processes(&self) -> Vec<u32> {
        processes_with(&format!("WEBKIT_INSPECTOR_SERVER={}", self.inspector))
    }

    /// Starts the app on its own and attaches a driver to its window.
    pub fn open(&self, name: &str, display: &Display, more: &[&str]) -> Result<(Process, WebDriver)> {
        self.open_by(name, &mut self.start(display, more))
    }

    /// What starts the app with a window on `display`.
    pub fn start(&self, display: &Display, more: &[&str]) -> Command {
        let mut command = Command::new(self.program());
        command.args(self.args(more)).envs(self.env(display));
        command
    }

    /// Starts the app by a command that becomes it, such as [`start`](Self::start)'s, and attaches a driver to its window.
    pub fn open_by(&self, name: &str, command: &mut Command) -> Result<(Process, WebDriver)> {
        let mut process = Process::start(name, command, &self.logs)?;
        let driver = self.attach(name, &mut process)?;
        Ok((process, driver))
    }

    /// Attaches a driver to the window of the running app, whose page then stands ready.
    pub fn attach(&self, name: &str, process: &mut Process) -> Result<WebDriver> {
        let deadline = Instant::now() + Duration::from_secs(90);
        loop {
            ensure!(
                process.is_running(),
                "the app ended before its window could be reached; see {}",
                self.logs.display()
            );
            let listening = std::net::TcpStream::connect(&self.inspector).is_ok();
            if listening
                && let Ok(driver) = WebDriver::attach(&format!("{name}-driver"), &self.inspector, &self.logs)
            {
                let ready = "return !!(window.bridge && document.querySelector('#version')?.textContent)";
                let page = wait_until("the page is ready", Duration::from_secs(30), || {
                    Ok(driver.run(ready).is_ok_and(|ready| ready == true).then_some(()))
                });
                if page.is_ok() {
                    return Ok(driver);
                }
                driver.abandon();
            }
            if Instant::now() > deadline {
                bail!("no driver could reach the app's window at {}", self.inspector);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Sends a message and waits until the page shows it.
pub fn send_message(driver: &WebDriver, text: &str) -> Result<()> {
    let field = driver.find("#message")?;
    field.click()?;
    field.type_text(text)?;
    driver.find("#send")?.click()?;
    let script = format!(
        "return document.querySelector('#messages').textContent.includes({})",
        serde_json::json!(text)
    );
    wait_until(
        &format!("the message \"{text}\" is shown"),
        Duration::from_secs(10),
        || Ok((driver.run(&script)? == true).then_some(())),
    )
}

/// Fails unless the page shows all of `messages`, in order.
pub fn expect_messages(driver: &WebDriver, messages: &[&str]) -> Result<()> {
    let mut shown = String::new();
    let in_order = |shown: &str| {
        let mut rest = shown;
        messages.iter().all(|message| match rest.split_once(message) {
            Some((_, after)) => {
                rest = after;
                true
            }
            None => false,
        })
    };
    let waited = wait_until("messages", Duration::from_secs(10), || {
        shown = driver.text("#messages")?;
        Ok(in_order(&shown).then_some(()))
    });
    waited.with_context(|| format!("the transcript is not what was written: {shown:?}"))
}

/// Records every text that the version label takes from now on, so that none is missed between two looks.
pub fn watch_label(driver: &WebDriver) -> Result<()> {
    driver
        .run(
            "const label = document.querySelector('#version'); window.seenLabels = [label.textContent];
             new MutationObserver(() => window.seenLabels.push(label.textContent))
               .observe(label, { childList: true, characterData: true, subtree: true });",
        )
        .map(|_| ())
}

/// The whole walkthrough. Each state is asserted and kept as a screenshot.
pub fn run_walkthrough(setup: Setup, display: &Display, say: &mut dyn FnMut(&str)) -> Result<()> {
    walkthrough_in(setup, display, Vec::new(), say)
}

/// The same, with `more_env` in the app's environment.
pub fn walkthrough_in(
    setup: Setup,
    display: &Display,
    more_env: Vec<(String, String)>,
    say: &mut dyn FnMut(&str),
) -> Result<()> {
    say("\n1. A network and two links");
    let mut workshop = Workshop::open(setup, say)?;
    say("\n2. Version 1.0.1: make, build, stage, provision, seed, install");
    workshop.release("1.0.1", say)?;
    workshop.seed()?;
    say("bosc seed                     serving the provision link");
    let mut app = workshop.install()?;
    app.more_env = more_env;
    say(&format!("installed                     {}", app.bundle.display()));

    say("\n3. The installed app is opened");
    let (mut process, driver) = app.open("app", display, &[])?;
    driver
        .wait_text("#version", "v1.0.1", Duration::from_secs(30))
        .context("state not reached: the header shows v1.0.1")?;
    driver.wait_text("h1", "Pear chat", Duration::from_secs(5))?;
    driver.screenshot(&workshop.shot("01-installed.png"))?;
    for message in MESSAGES {
        send_message(&driver, message).context("state not reached: three messages are sent")?;
    }
    expect_messages(&driver, &MESSAGES)?;
    driver.screenshot(&workshop.shot("02-chat.png"))?;
    say("the header says               v1.0.1; three messages are sent; the app stays open");
    watch_label(&driver)?;

    say("\n4. Version 1.0.2: the header is edited and released while the app is open");
    workshop.edit_header("Pear chat — v2")?;
    say("renderer/index.html           \"Pear chat\" -> \"Pear chat — v2\"");
    let version = workshop.release("patch", say)?;
    ensure!(version == "1.0.2", "the patch version is {version}");
    let released = Instant::now();

    say("\n5. The app notices by itself");
    driver
        .wait_text("#version", "updating…", Duration::from_secs(60))
        .context("state not reached: the label flips to updating…")
        .or_else(|error| {
            // It may have come and gone between two looks: the page kept the record.
            let seen = driver.run("return window.seenLabels")?.to_string();
            if seen.contains("updating…") {
                Ok(())
            } else {
                Err(error)
            }
        })?;
    driver.screenshot(&workshop.shot("03-updating.png"))?;
    say(&format!(
        "v1.0.1 -> updating…           {:.1} s after the release",
        released.elapsed().as_secs_f64()
    ));
    let shown =
        "const b = document.querySelector('#update'); return !b.hidden && b.textContent === 'Update ready!'";
    wait_until("the yellow button", Duration::from_secs(60), || {
        Ok((driver.run(shown)? == true).then_some(()))
    })
    .context("state not reached: the yellow \"Update ready!\" button")?;
    say(&format!(
        "\"Update ready!\"               {:.1} s after the release",
        released.elapsed().as_secs_f64()
    ));
    driver.screenshot(&workshop.shot("04-update-ready.png"))?;
    let clicked = Instant::now();
    driver.find("#update")?.click()?;
    driver.abandon();
    wait_until("the bundle on disk is 1.0.2", Duration::from_secs(30), || {
        Ok((installed_version(&app) == "1.0.2").then_some(()))
    })
    .context("state not reached: applyUpdate() swaps the bundle")?;

    say("\n6. It restarts into the new version");
    let driver = app
        .attach("app-again", &mut process)
        .context("state not reached: the app restarts")?;
    driver
        .wait_text("#version", "v1.0.2", Duration::from_secs(30))
        .context("state not reached: the label says v1.0.2")?;
    driver
        .wait_text("h1", "Pear chat — v2", Duration::from_secs(5))
        .context("state not reached: the header says \"Pear chat — v2\"")?;
    expect_messages(&driver, &MESSAGES).context("state not reached: the three messages are there")?;
    say(&format!(
        "click to working window       {:.1} s",
        clicked.elapsed().as_secs_f64()
    ));
    driver.screenshot(&workshop.shot("05-v2.png"))?;
    say("the header says               \"Pear chat — v2\", v1.0.2, and the three messages are there");
    driver.abandon();
    process.stop();
    let mode = fs::metadata(app.program())?.permissions().mode();
    ensure!(mode & 0o111 == 0o111, "the new program has the mode {mode:o}");
    app.expect_nothing_left()
}

/// Copies a folder with its modes, without what builds leave behind.
pub fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            if !["target", "out"].iter().any(|name| entry.file_name() == *name) {
                copy_folder(&source, &target)?;
            }
        } else {
            fs::copy(&source, &target)?;
        }
    }
    Ok(())
}
