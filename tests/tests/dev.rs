//! `bosc dev` as an author uses it: the page is loaded anew when it changes, the program built and started anew, the page may come from
//! a server; and none of it can be switched on in the app that people install.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use app::Host;
use bosc_tests::display::Display;
use bosc_tests::peers::{Place, root};
use bosc_tests::process::Process;

/// How long cargo may take: it compiles what is not yet compiled.
const BUILD: Duration = Duration::from_secs(900);
/// How long a window may take to open, or a page to load.
const OPEN: Duration = Duration::from_secs(60);

/// Puts another text into a file, as editors do: whole.
fn edit(file: &Path, from: &str, to: &str) -> Result<()> {
    let text = fs::read_to_string(file)?;
    let edited = text.replace(from, to);
    ensure!(edited != text, "{} has no {from:?}", file.display());
    let beside = file.with_extension("edited~");
    fs::write(&beside, edited)?;
    Ok(fs::rename(&beside, file)?)
}

fn said(process: &mut Process, words: &str, limit: Duration) -> Result<()> {
    process.wait_for(words, limit, |line| line.contains(words).then_some(()))
}

/// Serves a page whose script has the program greet `name`, until the test ends. Its address.
fn serve(name: &str) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = format!("http://{}/", listener.local_addr()?);
    let page = format!(
        "<!doctype html><title>served</title><script>window.bridge.invoke('greet', {{ name: '{name}' }})</script>"
    );
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
            while lines.next().is_some_and(|line| !line.is_empty()) {}
            let _ = write!(
                &stream,
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{page}",
                page.len()
            );
        }
    });
    Ok(address)
}

#[test]
fn what_an_author_changes_is_seen_at_once_and_never_in_an_installed_app() -> Result<()> {
    let place = Place::new("dev")?;
    let elsewhere = tempfile::tempdir()?;
    let folder = elsewhere.path().join("my-drafts");
    let path = folder.to_str().context("a path that is no text")?;
    place.run("author", &["init", path, "--template", "minimal"])?;
    let (page, program) = (folder.join("renderer/app.js"), folder.join("src/main.rs"));
    edit(
        &page,
        "const { bridge } = window",
        "const { bridge } = window\nbridge.invoke('greet', { name: 'first' })",
    )?;
    edit(
        &program,
        "    Ok(format!",
        "    eprintln!(\"greeted {name}\");\n    Ok(format!",
    )?;

    let display = Display::own(&place.home)?;
    let dev = |name: &str, args: &[&str]| {
        let mut command = place.bosc("author", &["dev", path]);
        command
            .args(args)
            .envs(display.env())
            .env("CARGO_TARGET_DIR", root().join("target"))
            .env("CARGO_NET_OFFLINE", "true");
        Process::start(name, &mut command, &place.logs())
    };
    let storage = elsewhere.path().join("data").display().to_string();
    let mut running = dev("dev", &["--", "--storage", &storage])?;
    said(&mut running, "greeted first", BUILD)?;
    let changed = Instant::now();
    edit(&page, "'first'", "'second'")?;
    said(&mut running, "greeted second", OPEN)?;
    eprintln!("a changed page: {} ms", changed.elapsed().as_millis());

    // A program that does not compile leaves the running one alone.
    edit(&program, "    eprintln!(\"greeted", "    nonsense!(\"greeted")?;
    said(&mut running, "what runs goes on", BUILD)?;
    edit(&page, "'second'", "'third'")?;
    said(&mut running, "greeted third", OPEN)?;
    edit(&program, "    nonsense!(\"greeted", "    eprintln!(\"welcomed")?;
    said(&mut running, "welcomed third", BUILD)?;
    running.stop();

    let address = serve("served")?;
    let mut served = dev("dev-url", &["--url", &address, "--", "--storage", &storage])?;
    said(&mut served, "welcomed served", BUILD)?;
    served.stop();
    let mut elsewhere_served = dev("dev-url-elsewhere", &["--url", "http://example.com/"])?;
    said(&mut elsewhere_served, "not on this machine", BUILD)?;
    elsewhere_served.stop();

    // The same program in a bundle hears nothing of it.
    let link = place.run("author", &["touch"])?.trim().to_owned();
    edit(
        &folder.join("package.json"),
        "pear://replace-with-your-provision-link",
        &link,
    )?;
    let built = root().join("target/debug/my-drafts");
    place.run("author", &["make", path, "--bin", &built.display().to_string()])?;
    let installed = folder.join(format!("out/MyDrafts-{}/MyDrafts/MyDrafts", Host::current()));
    let mut command = Command::new(installed);
    command
        .args(["--no-updates", "--dev-pipe", "--storage", &storage])
        .env("PEAR_DEV_SERVER_URL", &address)
        .envs(display.env());
    let mut app = Process::start("installed", &mut command, &place.logs())?;
    said(&mut app, "--dev-pipe is ignored", OPEN)?;
    said(&mut app, "welcomed third", OPEN)?;
    ensure!(app.is_running(), "it ended with its standard input");
    app.stop();
    Ok(())
}
