//! A hundred thousand apps that take one release, in virtual time: the table and the drawing of `docs/crowds.md`.
//!
//! `crowd_sim [apps] [megabytes] [seed's Mbit/s] [file for the drawing]`.

use std::process::ExitCode;
use std::time::Instant;

use bosc_tests::crowd_sim::{HEAD, Scene, play, plot};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: u32| args.get(at).and_then(|arg| arg.parse().ok()).unwrap_or(default);
    let scene = Scene {
        apps: number(0, 100_000),
        bytes: u64::from(number(1, 20)) * 1_000_000,
        seed_rate: u64::from(number(2, 1000)) * 125_000,
        ..Scene::default()
    };
    let mut outcomes = Vec::new();
    println!("{HEAD}");
    for (name, giving) in [
        ("all give back", 1.0),
        ("three in ten do", 0.3),
        ("no app does", 0.0),
    ] {
        let start = Instant::now();
        let outcome = play(&Scene {
            giving,
            ..scene.clone()
        });
        println!("{}", outcome.row(name));
        eprintln!("{name}: simulated in {:.1} s", start.elapsed().as_secs_f64());
        outcomes.push((name.to_owned(), outcome));
    }
    let Some(path) = args.get(3) else {
        return ExitCode::SUCCESS;
    };
    match std::fs::write(path, plot(&outcomes)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("crowd_sim: cannot write {path}: {error}");
            ExitCode::FAILURE
        }
    }
}
