//! Prints what either stack does in bad weather.
//!
//! `weather [table|connect|ping|two|capacity]... [--seconds N] [--runs N] [--only WORDS]`; without names all of them. `--only` takes the
//! cells whose name has these words. `weather peer send|recv HOST:PORT TOPIC_HEX` is the peer that it starts for each end of a stream.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bosc_tests::args::{begin, read};
use bosc_tests::lab::Stack;
use bosc_tests::lab::weather::{Cell, Special, Wan, Weather, can_make_weather, capacity, stream};

const STACKS: [Stack; 2] = [Stack::Js, Stack::Bosc];
const ROUND_TRIPS: [u64; 3] = [1, 50, 200];

struct Options {
    parts: Vec<String>,
    seconds: Duration,
    runs: usize,
    only: Option<String>,
    program: PathBuf,
}

impl Options {
    fn wants(&self, cell: &Cell) -> bool {
        self.only
            .as_ref()
            .is_none_or(|words| cell.to_string().contains(words.as_str()))
    }
}

fn main() -> ExitCode {
    let args = begin();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["peer", mode, bootstrap, topic] => peer(mode, bootstrap, topic),
        _ => options(args).and_then(|options| parts(&options)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("weather: {error:#}");
            ExitCode::from(2)
        }
    }
}

#[tokio::main]
async fn peer(mode: &str, bootstrap: &str, topic: &str) -> Result<()> {
    stream(mode, bootstrap, topic).await
}

fn options(args: Vec<String>) -> Result<Options> {
    let mut options = Options {
        parts: Vec::new(),
        seconds: Duration::from_secs(5),
        runs: 1,
        only: None,
        program: std::env::current_exe()?,
    };
    options.parts = read(args, |name, value| {
        match name {
            "--seconds" => options.seconds = Duration::from_secs(value.parse()?),
            "--runs" => options.runs = value.parse()?,
            "--only" => options.only = Some(value),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    if options.parts.is_empty() {
        options.parts = ["capacity", "table", "connect", "ping", "two"]
            .map(str::to_owned)
            .into();
    }
    Ok(options)
}

fn parts(options: &Options) -> Result<()> {
    can_make_weather()?;
    for part in &options.parts {
        match part.as_str() {
            "capacity" => forwards()?,
            "table" => table(options)?,
            "connect" => connect(options)?,
            "ping" => pings(options)?,
            "two" => two(options)?,
            _ => bail!("{part} is not known; there are capacity, table, connect, ping, two"),
        }
    }
    Ok(())
}

/// What the lab itself forwards at most.
fn forwards() -> Result<()> {
    let wan = Wan::new(&[Weather::fine(), Weather::fine()], None)?;
    let found = capacity(&wan, 0, 1, Duration::from_secs(3))?;
    println!(
        "The lab forwards {:.0} MB/s at most, on a processor of its own; {:.0} MB/s beside who sends and receives here.\n",
        found.forwards / 1e6,
        found.through / 1e6
    );
    Ok(())
}

fn cells() -> Vec<Cell> {
    let mut cells = Vec::new();
    for loss in [0.0, 1.0, 5.0] {
        for round_trip in ROUND_TRIPS {
            for rate in [Some(10), Some(100), None] {
                cells.push(Cell::new(loss, round_trip, rate));
            }
        }
    }
    cells.push(Cell::new(2.0, 50, Some(100)).with(Special::Bursts(8.0)));
    cells.push(Cell::new(0.0, 50, Some(100)).with(Special::Jitter(Duration::from_millis(20))));
    cells.push(Cell::new(0.0, 50, Some(100)).with(Special::Late(5.0, Duration::from_millis(10))));
    cells
}

/// The median of what each stack shows, measured in turn.
fn medians(runs: usize, mut measure: impl FnMut(Stack) -> Result<f64>) -> [String; 3] {
    let mut found: [Vec<f64>; 2] = [Vec::new(), Vec::new()];
    for _ in 0..runs {
        for (stack, found) in STACKS.iter().zip(&mut found) {
            match measure(*stack) {
                Ok(value) => found.push(value),
                Err(error) => eprintln!("{}: {error:#}", stack.name()),
            }
        }
    }
    let [js, bosc] = found.map(|mut all| {
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied()
    });
    let show = |value: Option<f64>| value.map_or_else(|| "none".to_owned(), |value| format!("{value:.2}"));
    let ratio = js.zip(bosc).map(|(js, bosc)| bosc / js);
    [show(js), show(bosc), show(ratio)]
}

fn table(options: &Options) -> Result<()> {
    println!("| loss, round trip, rate | JS MB/s | Bosc MB/s | ratio |\n| --- | --- | --- | --- |");
    for cell in cells().iter().filter(|cell| options.wants(cell)) {
        let [js, bosc, ratio] = medians(options.runs, |stack| {
            Ok(cell.stream(stack, options.seconds, &options.program)? / 1e6)
        });
        println!("| {cell} | {js} | {bosc} | {ratio} |");
    }
    println!();
    Ok(())
}

fn connect(options: &Options) -> Result<()> {
    println!("| connecting | JS, round trips | Bosc, round trips | ratio |\n| --- | --- | --- | --- |");
    for round_trip in ROUND_TRIPS {
        let cell = Cell::new(0.0, round_trip, None);
        if !options.wants(&cell) {
            continue;
        }
        let [js, bosc, ratio] = medians(options.runs, |stack| {
            Ok(cell.connect(stack)?.as_secs_f64() / cell.round_trip.as_secs_f64())
        });
        println!("| {cell} | {js} | {bosc} | {ratio} |");
    }
    println!();
    Ok(())
}

fn pings(options: &Options) -> Result<()> {
    println!(
        "| ping beside a stream | stack | idle median, 95 % | loaded median, 95 % |\n| --- | --- | --- | --- |"
    );
    let cells = [
        Cell::new(0.0, 50, Some(10)).with(Special::Queue(1_000_000)),
        Cell::new(0.0, 50, Some(100)).with(Special::Queue(10_000_000)),
    ];
    for cell in cells.iter().filter(|cell| options.wants(cell)) {
        for stack in STACKS {
            let [idle, loaded] = cell.pings(stack, 2 * options.seconds, &options.program)?;
            let show = |(median, most): (Duration, Duration)| {
                format!("{}, {} ms", median.as_millis(), most.as_millis())
            };
            println!(
                "| {cell} | {} | {} | {} |",
                stack.name(),
                show(idle),
                show(loaded)
            );
        }
    }
    println!();
    Ok(())
}

fn two(options: &Options) -> Result<()> {
    println!(
        "| two streams | stacks | first, MB/s | second, MB/s | ratio |\n| --- | --- | --- | --- | --- |"
    );
    let pairs = [
        [Stack::Js, Stack::Js],
        [Stack::Bosc, Stack::Bosc],
        [Stack::Js, Stack::Bosc],
    ];
    for cell in [Cell::new(0.0, 50, Some(10)), Cell::new(0.0, 50, Some(100))] {
        if !options.wants(&cell) {
            continue;
        }
        for pair in pairs {
            let [first, second] = compare(&cell, pair, 2 * options.seconds, &options.program)?;
            let [a, b] = pair.map(Stack::name);
            println!(
                "| {cell} | {a}, {b} | {:.2} | {:.2} | {:.2} |",
                first / 1e6,
                second / 1e6,
                second / first
            );
        }
    }
    println!();
    Ok(())
}

fn compare(cell: &Cell, pair: [Stack; 2], time: Duration, program: &Path) -> Result<[f64; 2]> {
    cell.two(pair, time, program)
        .with_context(|| format!("two streams: {cell}"))
}
