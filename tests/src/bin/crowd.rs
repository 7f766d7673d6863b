//! Prints how one `bosc seed` serves a crowd; started by `cargo xtask crowd`.
//!
//! `crowd [table|leave]... [--clients N,N,...] [--megabytes N] [--runs N]`; without names both. `crowd clients BOOTSTRAP LINK FOLDER
//! FIRST COUNT [stay]` is the process that it starts for some of the clients.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use bosc_tests::args::{begin, read};
use bosc_tests::crowd::{Group, Leaving, Outcome, Seeded, run};

struct Options {
    parts: Vec<String>,
    clients: Vec<usize>,
    megabytes: usize,
    runs: usize,
}

fn main() -> ExitCode {
    let args = begin();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["clients", bootstrap, link, folder, first, count, stay @ ..] => {
            clients(bootstrap, link, folder, first, count, !stay.is_empty())
        }
        _ => options(args).and_then(|options| parts(&options)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("crowd: {error:#}");
            ExitCode::from(2)
        }
    }
}

#[tokio::main]
async fn clients(
    bootstrap: &str,
    link: &str,
    folder: &str,
    first: &str,
    count: &str,
    stay: bool,
) -> Result<()> {
    run(Group {
        bootstrap: bootstrap.to_owned(),
        link: link.parse()?,
        folder: folder.into(),
        first: first.parse()?,
        count: count.parse()?,
        stay,
    })
    .await
}

fn options(args: Vec<String>) -> Result<Options> {
    let mut options = Options {
        parts: Vec::new(),
        clients: vec![50, 100, 200],
        megabytes: 20,
        runs: 1,
    };
    options.parts = read(args, |name, value| {
        match name {
            "--clients" => options.clients = value.split(',').map(str::parse).collect::<Result<_, _>>()?,
            "--megabytes" => options.megabytes = value.parse()?,
            "--runs" => options.runs = value.parse()?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    if options.parts.is_empty() {
        options.parts = ["table", "leave"].map(str::to_owned).into();
    }
    Ok(options)
}

fn parts(options: &Options) -> Result<()> {
    for part in &options.parts {
        match part.as_str() {
            "table" => table(options)?,
            "leave" => leave(options)?,
            _ => bail!("{part} is not known; there are table, leave"),
        }
    }
    Ok(())
}

fn table(options: &Options) -> Result<()> {
    println!(
        "{} MB for each client; seconds. A seed and a DHT are started anew for each line.\n\n\
         | clients | first | median | 90 % | last | last connected | met twice | refusals | seed, MB (before) | seed, CPU s | clients, CPU s |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        options.megabytes
    );
    for _ in 0..options.runs {
        for count in &options.clients {
            let mut seeded = Seeded::start("crowd", options.megabytes * 1_000_000)?;
            row(*count, &seeded.crowd(*count)?);
        }
    }
    println!();
    Ok(())
}

fn row(count: usize, outcome: &Outcome) {
    let [first, median, most, last] = [0, 50, 90, 100].map(|part| seconds(outcome.done(part)));
    let connected = outcome.arrivals.iter().map(|arrival| arrival.connected).max();
    let again = outcome.arrivals.iter().filter(|arrival| arrival.connections > 1);
    let refusals: u32 = outcome.arrivals.iter().map(|arrival| arrival.failures).sum();
    println!(
        "| {count} | {first} | {median} | {most} | {last} | {} | {} | {refusals} | {:.0} ({:.0}) | {} | {} |",
        seconds(connected.unwrap_or_default()),
        again.count(),
        outcome.memory as f64 / 1e6,
        outcome.before as f64 / 1e6,
        seconds(outcome.seed),
        seconds(outcome.clients),
    );
}

fn leave(options: &Options) -> Result<()> {
    println!(
        "| clients that leave | how | the next is connected, s | and done, s |\n| --- | --- | --- | --- |"
    );
    for _ in 0..options.runs {
        for count in &options.clients {
            for how in [Leaving::Politely, Leaving::Killed, Leaving::NotAtAll] {
                let mut seeded = Seeded::start("crowd", options.megabytes * 1_000_000)?;
                let next = seeded.departure(*count, how)?;
                let [connected, done] = [next.connected, next.done].map(seconds);
                println!("| {count} | {how:?} | {connected} | {done} |");
            }
        }
    }
    println!();
    Ok(())
}

fn seconds(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64())
}
