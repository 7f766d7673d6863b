//! The walkthrough for people: `demo <bosc> <pear-chat> <template-app> <target/demo>`, started by `cargo xtask demo`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bosc_tests::display::Display;
use bosc_tests::walkthrough::{Setup, run_walkthrough};

/// Children run in other folders.
fn absolute(path: std::ffi::OsString) -> PathBuf {
    std::path::absolute(&path).unwrap_or_else(|_| path.into())
}

fn main() -> ExitCode {
    let paths: Vec<PathBuf> = std::env::args_os().skip(1).map(absolute).collect();
    let [bosc, chat, template, demo] = paths.as_slice() else {
        eprintln!("usage: demo <bosc> <pear-chat> <template-app> <folder>; use `cargo xtask demo`");
        return ExitCode::from(2);
    };
    match show(bosc, chat, template, demo) {
        Ok(()) => {
            println!("\nEvery state was reached. Screenshots: {}", demo.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!(
                "\nThe walkthrough stopped: {error:#}\nLogs: {}",
                demo.join("home/logs").display()
            );
            ExitCode::FAILURE
        }
    }
}

fn show(bosc: &Path, chat: &Path, template: &Path, demo: &Path) -> anyhow::Result<()> {
    let home = demo.join("home");
    if home.exists() {
        std::fs::remove_dir_all(&home)?;
    }
    let display = Display::present_or_virtual(&home.join("logs"))?;
    println!("The over-the-air walkthrough, on this machine alone.");
    if display.is_virtual() {
        println!("(No display here: the windows open under Xvfb; see the screenshots.)");
    }
    let setup = Setup {
        home,
        bosc: bosc.to_owned(),
        chat: chat.to_owned(),
        template: template.to_owned(),
        shots: demo.to_owned(),
        format: app::Format::Folder,
    };
    run_walkthrough(setup, &display, &mut |line| println!("{line}"))
}
