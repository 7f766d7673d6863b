//! The life of an installed app of Windows without a web view: it downloads, puts the new version beside the old one while that runs,
//! restarts, and takes back what does not start. It is killed at any moment, and always starts again.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use app::{Versions, fit};
use bosc_tests::peers::{read_tree, write_deployment};
use bosc_tests::process::{Process, end, processes_with, run, wait_until};
use rand::RngExt;
use rustix::process::Signal;

use crate::stand::{LIMIT, Stand};

const HOST: &str = "win32-x64";

/// Kills of the installed app, unless `BOSC_WINE_KILLS` says another number.
const KILLS: u32 = 12;

/// An app that follows a link, installed, and the machine on Linux that releases it.
struct Lab {
    stand: Stand,
    link: String,
    number: u32,
    installed: PathBuf,
    _seed: Process,
}

impl Lab {
    /// Version 1.0.0, released, seeded and installed. `None` where there is no Wine.
    fn new(name: &str) -> Result<Option<Self>> {
        let Some(stand) = Stand::new(name)? else {
            return Ok(None);
        };
        let link = run(&mut stand.linux("author", &["touch"]))?.trim().to_owned();
        let bundle = release(&stand, &link, 0, &[])?;
        let installed = stand.place.home.join("installed").join("Cool");
        fs::create_dir_all(installed.parent().context("no folder")?)?;
        run(Command::new("cp").arg("-r").args([&bundle, &installed]))?;
        let seed = stand.place.seed("author", &link)?;
        Ok(Some(Self {
            stand,
            link,
            number: 0,
            installed,
            _seed: seed,
        }))
    }

    /// Releases the next version, with files besides.
    fn release(&mut self, more: &[(&str, &[u8])]) -> Result<()> {
        self.number += 1;
        release(&self.stand, &self.link, self.number, more).map(drop)
    }

    /// The installed program, with a data folder.
    fn app(&self, data: &str) -> App {
        let storage = self.stand.place.home.join(data);
        let mark = format!("HEADLESS_STORAGE={}", storage.display());
        let mut command = self.stand.wine(&self.installed.join("Cool.exe"));
        command
            .env("HEADLESS_STORAGE", &storage)
            .env("HEADLESS_LINK", &self.link)
            .env("HEADLESS_BOOTSTRAP", &self.stand.place.bootstrap);
        App { command, mark }
    }

    /// Starts it; what it says is kept under a name.
    fn start(&self, app: &mut App, name: &str) -> Result<Process> {
        Process::start(name, &mut app.command, &self.stand.place.logs())
    }

    /// The version in use, whose files must all be there.
    fn in_use(&self) -> Result<String> {
        let bundle = Versions(&self.installed).current();
        ensure!(
            bundle.join("Cool.exe").is_file(),
            "{} has no program",
            bundle.display()
        );
        fit::version_of(&bundle).with_context(|| format!("no version in {}", bundle.display()))
    }

    /// What lies beside the installed version.
    fn beside(&self) -> Vec<String> {
        let entries = fs::read_dir(Versions(&self.installed).folder())
            .into_iter()
            .flatten()
            .flatten();
        let mut names: Vec<_> = entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

/// Stages a version for Windows whose program is the app without a window; its bundle.
fn release(stand: &Stand, link: &str, number: u32, more: &[(&str, &[u8])]) -> Result<PathBuf> {
    let tree = stand.place.home.join("tree");
    let _ = fs::remove_dir_all(&tree);
    let linux = write_deployment(&tree, "Cool", &format!("1.0.{number}"), link)?;
    let bundle = tree.join("by-arch").join(HOST).join("app/Cool");
    fs::create_dir_all(bundle.parent().context("no folder")?)?;
    fs::rename(linux, &bundle)?;
    fs::remove_dir_all(tree.join("by-arch").join(app::Host::current().to_string()))?;
    fs::remove_file(bundle.join("link"))?;
    fs::remove_file(bundle.join("Cool"))?;
    fs::copy(stand.headless()?, bundle.join("Cool.exe"))?;
    for (name, bytes) in more {
        fs::write(bundle.join(name), bytes)?;
    }
    run(&mut stand.linux("author", &["stage", link, "tree"]))?;
    Ok(bundle)
}

/// What starts the app; all that it started ends with this.
struct App {
    command: Command,
    mark: String,
}

impl App {
    /// What of it runs. Wine's own server and services have the environment of whoever was first to need them: with them everything
    /// else in this Wine would end.
    fn running(&self) -> Vec<u32> {
        let is_app = |id: &u32| {
            let words = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&words).contains("Cool.exe")
        };
        processes_with(&self.mark).into_iter().filter(is_app).collect()
    }

    /// Waits until nothing of it runs.
    fn ended(&self) -> Result<()> {
        wait_until("it has ended", LIMIT, || {
            Ok(self.running().is_empty().then_some(()))
        })
    }

    /// Kills all of it at once, as a power cut would.
    fn kill(&self) -> Result<()> {
        wait_until("nothing of the app runs", LIMIT, || {
            let running = self.running();
            running.iter().for_each(|id| end(*id, Signal::KILL));
            Ok(running.is_empty().then_some(()))
        })
    }
}

impl Drop for App {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

fn line(wanted: String) -> impl Fn(&str) -> Option<()> {
    move |line| (line.trim() == wanted).then_some(())
}

#[test]
fn an_installed_app_updates_while_it_and_another_of_it_run() -> Result<()> {
    let Some(mut lab) = Lab::new("wine-update")? else {
        return Ok(());
    };
    let (mut one, mut two) = (lab.app("data-1"), lab.app("data-2"));
    let mut first = lab.start(&mut one, "first")?;
    first.wait_for("that it is up", LIMIT, line("well 1.0.0".into()))?;
    let mut second = lab.start(&mut two, "second")?;
    second.wait_for("that it is up", LIMIT, line("well 1.0.0".into()))?;
    // Its program runs, and somebody looks at a file of it.
    let open = fs::File::open(lab.installed.join("resources/app/package.json"))?;
    for number in 1..=2 {
        lab.release(&[])?;
        for app in [&mut first, &mut second] {
            let version = format!("well 1.0.{number}");
            // Whoever comes second starts anew by itself.
            app.wait_for(&version, LIMIT, |line| {
                (line.trim() == version || line.contains("already")).then_some(())
            })?;
        }
        ensure!(
            lab.in_use()? == format!("1.0.{number}"),
            "{} is in use",
            lab.in_use()?
        );
    }
    drop(open);
    let whole = read_tree(
        &lab.stand
            .place
            .home
            .join("tree/by-arch")
            .join(HOST)
            .join("app/Cool"),
    )?;
    ensure!(
        read_tree(&Versions(&lab.installed).current())?.len() == whole.len(),
        "files are missing"
    );
    Ok(())
}

#[test]
fn a_version_that_does_not_start_is_taken_back_and_one_that_cannot_run_never_gets_in() -> Result<()> {
    let Some(mut lab) = Lab::new("wine-rollback")? else {
        return Ok(());
    };
    let mut app = lab.app("data");
    lab.release(&[])?;
    lab.start(&mut app, "good")?
        .wait_for("1.0.1", LIMIT, line("well 1.0.1".into()))?;
    // It says that it can run, and then cannot.
    lab.release(&[("resources/app/fails", b"")])?;
    wait_until("1.0.2 is in use", LIMIT, || {
        Ok((lab.in_use()? == "1.0.2").then_some(()))
    })?;
    app.ended()?;
    let mut failing = lab.start(&mut app, "failing")?;
    failing.wait_for("the second failed start", LIMIT, line("start 1.0.2".into()))?;
    app.ended()?;
    let mut back = lab.start(&mut app, "back")?;
    back.wait_for(
        "that it goes back",
        LIMIT,
        line("rolled back from 1.0.2 to 1.0.1".into()),
    )?;
    back.wait_for("1.0.1", LIMIT, line("well 1.0.1".into()))?;
    ensure!(lab.beside() == ["1.0.1", "current"], "{:?}", lab.beside());
    // No program at all.
    lab.release(&[("Cool.exe", b"MZ and nothing that runs")])?;
    back.wait_for("that 1.0.3 is refused", LIMIT, |line| {
        line.contains("1.0.3").then_some(())
    })?;
    lab.release(&[])?;
    back.wait_for("1.0.4", LIMIT, line("well 1.0.4".into()))?;
    ensure!(lab.in_use()? == "1.0.4", "{} is in use", lab.in_use()?);
    Ok(())
}

#[test]
fn killed_at_any_moment_it_starts_again_with_a_whole_version() -> Result<()> {
    let Some(mut lab) = Lab::new("wine-update-kills")? else {
        return Ok(());
    };
    let kills = std::env::var("BOSC_WINE_KILLS")
        .ok()
        .and_then(|kills| kills.parse().ok());
    let mut app = lab.app("data");
    let mut whole = arrives(&lab, &mut app)?;
    let mut tree = read_tree(&lab.installed)?;
    for kill in 0..kills.unwrap_or(KILLS) {
        if kill % 3 == 0 {
            lab.release(&[])?;
        }
        let mut process = lab.start(&mut app, "killed")?;
        std::thread::sleep(whole.mul_f64(rand::rng().random()));
        app.kill()?;
        process.kill();
        lab.in_use()?;
        if kill % 3 == 2 {
            whole = (whole + arrives(&lab, &mut app)?) / 2;
            ensure!(
                lab.beside() == [&format!("1.0.{}", lab.number), "current"],
                "{:?}",
                lab.beside()
            );
        }
    }
    // What was installed is what it was.
    tree.retain(|path, _| !path.starts_with("versions"));
    let mut found = read_tree(&lab.installed)?;
    found.retain(|path, _| !path.starts_with("versions"));
    ensure!(found == tree, "the installed version is not what it was");
    Ok(())
}

/// Starts it and waits until the newest version is up; how long that took.
fn arrives(lab: &Lab, app: &mut App) -> Result<Duration> {
    let start = Instant::now();
    let well = format!("well 1.0.{}", lab.number);
    let mut process = lab.start(app, "arrives")?;
    process.wait_for(&well, LIMIT, line(well.clone()))?;
    let took = start.elapsed();
    // What it found left over is deleted by then, or with the next good start.
    wait_until("nothing else lies beside it", LIMIT, || {
        Ok((lab.beside().len() <= 2).then_some(()))
    })?;
    app.kill()?;
    Ok(took)
}
