//! Prints how long two peers take to meet, in every cell of the lab and for every pair of stacks; started by `cargo xtask lab`.
//!
//! `lab [--runs N] [--only SERVER-CLIENT] [--stacks SERVER-CLIENT] [--limit SECONDS]`

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use bosc_tests::args::{begin, read};
use bosc_tests::lab::{Home, Meeting, Net, Stack, can_make_hosts};

const HOMES: [Home; 3] = [Home::Open, Home::Cone, Home::Symmetric];
const PAIRS: [(Stack, Stack); 4] = [
    (Stack::Js, Stack::Js),
    (Stack::Bosc, Stack::Bosc),
    (Stack::Js, Stack::Bosc),
    (Stack::Bosc, Stack::Js),
];

struct Options {
    runs: usize,
    limit: Duration,
    only: Option<String>,
    stacks: Option<String>,
}

fn main() -> ExitCode {
    match options(begin()).and_then(|options| matrix(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lab: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn options(args: Vec<String>) -> Result<Options> {
    let mut options = Options {
        runs: 5,
        limit: Duration::from_secs(40),
        only: None,
        stacks: None,
    };
    let rest = read(args, |name, value| {
        match name {
            "--runs" => options.runs = value.parse()?,
            "--limit" => options.limit = Duration::from_secs(value.parse()?),
            "--only" => options.only = Some(value),
            "--stacks" => options.stacks = Some(value),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    if let Some(word) = rest.first() {
        bail!("{word} is not known");
    }
    Ok(options)
}

fn matrix(options: &Options) -> Result<()> {
    can_make_hosts()?;
    println!("| server - client | stacks | median, s | all, s |\n| --- | --- | --- | --- |");
    for server in HOMES {
        for client in HOMES {
            let cell = format!("{}-{}", server.name(), client.name());
            if options.only.as_ref().is_some_and(|only| *only != cell) {
                continue;
            }
            for (a, b) in PAIRS {
                let stacks = format!("{}-{}", a.name(), b.name());
                if options
                    .stacks
                    .as_ref()
                    .is_some_and(|only| !only.eq_ignore_ascii_case(&stacks))
                {
                    continue;
                }
                let mut times = Vec::new();
                for _ in 0..options.runs {
                    // Each on a network of its own: nodes remember who was there, and routers whom they let through.
                    let mut net = Net::new()?;
                    let (at, from) = (net.home(server)?, net.home(client)?);
                    let meeting = Meeting {
                        server: (a, &at),
                        client: (b, &from),
                        bootstrap: &net.bootstrap(),
                        relay: None,
                    };
                    times.push(meeting.hold(options.limit)?);
                }
                // Those that never met come last.
                times.sort_by_key(|time| time.unwrap_or(Duration::MAX));
                let show = |time: &Option<Duration>| match time {
                    Some(time) => format!("{:.2}", time.as_secs_f64()),
                    None => "never".to_owned(),
                };
                let median = times.get(times.len() / 2).map_or_else(String::new, show);
                let all: Vec<String> = times.iter().map(show).collect();
                println!("| {cell} | {stacks} | {median} | {} |", all.join(" "));
            }
        }
    }
    Ok(())
}
