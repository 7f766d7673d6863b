//! How far something is, on one line of the terminal: bytes, the rate of the last seconds, and the time left.
//!
//! indicatif draws the line and keeps it within the terminal. The rate is ours: indicatif's is of a clock of its own, which no test can
//! turn.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hyperdrive::Meter;
use indicatif::{HumanBytes, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often the line is drawn anew.
const EVERY: Duration = Duration::from_millis(200);

/// What the rate is of.
const WINDOW: Duration = Duration::from_secs(5);

/// A rate of less is nothing that a person could go by.
const FIRST: Duration = Duration::from_secs(1);

/// A line that shows what a meter counts, from a fifth of a second after it began until it is dropped.
pub(crate) struct Bar {
    bar: ProgressBar,
    /// Dropped, it ends the thread.
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Bar {
    pub(crate) fn show(what: &'static str, meter: Arc<Meter>) -> Self {
        Self::on(ProgressDrawTarget::stderr(), what, meter)
    }

    fn on(target: ProgressDrawTarget, what: &'static str, meter: Arc<Meter>) -> Self {
        let bar = ProgressBar::with_draw_target(None, target).with_style(style());
        let (stop, stopped) = mpsc::channel::<()>();
        let drawn = bar.clone();
        let draw = move || {
            let mut rate = Rate::default();
            while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                let (now, done) = (Instant::now(), meter.done());
                rate.add(now, done);
                drawn.set_message(line(what, done, meter.total(), rate.per_second()));
            }
        };
        // Without a thread there is no line, and nothing else is missing.
        let thread = std::thread::Builder::new()
            .name("bosc-progress".to_owned())
            .spawn(draw);
        Self {
            bar,
            stop: Some(stop),
            thread: thread.ok(),
        }
    }

    /// Does something that writes lines of its own.
    pub(crate) fn suspend(&self, write: impl FnOnce()) {
        self.bar.suspend(write);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.bar.finish_and_clear();
    }
}

/// The message alone, cut at the width of the terminal.
fn style() -> ProgressStyle {
    ProgressStyle::with_template("{wide_msg}").unwrap_or_else(|_| ProgressStyle::default_spinner())
}

/// What the line says.
fn line(what: &str, done: u64, total: Option<u64>, rate: Option<f64>) -> String {
    let mut text = match total {
        Some(total) => format!("{what} {} of {}", HumanBytes(done.min(total)), HumanBytes(total)),
        None => format!("{what} {}", HumanBytes(done)),
    };
    let Some(rate) = rate else {
        return text;
    };
    text.push_str(&format!(", {}/s", HumanBytes(rate as u64)));
    let left = total
        .map(|total| total.saturating_sub(done))
        .filter(|left| *left > 0);
    if let Some(left) = left.filter(|_| rate >= 1.0) {
        let left = Duration::try_from_secs_f64((left as f64 / rate).ceil()).unwrap_or(Duration::MAX);
        // Nobody waits for what would take a month at this rate: it will change.
        if left < Duration::from_secs(30 * 24 * 3600) {
            text.push_str(&format!(", {} left", HumanDuration(left)));
        }
    }
    text
}

/// Bytes a second over the last seconds.
#[derive(Debug, Default)]
struct Rate(VecDeque<(Instant, u64)>);

impl Rate {
    /// So many were done by then.
    fn add(&mut self, now: Instant, done: u64) {
        self.0.push_back((now, done));
        // The oldest that is kept is as old as the window, so that the rate is of all of it.
        while let Some((second, _)) = self.0.get(1)
            && now.saturating_duration_since(*second) >= WINDOW
        {
            self.0.pop_front();
        }
    }

    /// None before there is anything to go by.
    fn per_second(&self) -> Option<f64> {
        let ((first, before), (last, done)) = (self.0.front()?, self.0.back()?);
        let time = last.saturating_duration_since(*first);
        (time >= FIRST).then(|| done.saturating_sub(*before) as f64 / time.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use indicatif::TermLike;

    use super::*;

    /// A rate that hears of `bytes` each 200 ms for some seconds, from `done` on.
    fn go(rate: &mut Rate, clock: &mut Instant, done: &mut u64, seconds: u32, bytes: u64) {
        for _ in 0..seconds * 5 {
            *clock += EVERY;
            *done += bytes;
            rate.add(*clock, *done);
        }
    }

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let (mut rate, mut clock, mut done) = (Rate::default(), Instant::now(), 0);
        assert_eq!(rate.per_second(), None);
        rate.add(clock, 0);
        assert_eq!(rate.per_second(), None);
        go(&mut rate, &mut clock, &mut done, 20, 200);
        assert_eq!(rate.per_second().unwrap().round(), 1000.0);
        // A pause is seen, not at once in full, and forgotten when it is over.
        go(&mut rate, &mut clock, &mut done, 2, 0);
        let paused = rate.per_second().unwrap();
        assert!((500.0..800.0).contains(&paused), "{paused}");
        go(&mut rate, &mut clock, &mut done, 4, 0);
        assert_eq!(rate.per_second(), Some(0.0));
        go(&mut rate, &mut clock, &mut done, 6, 400);
        assert_eq!(rate.per_second().unwrap().round(), 2000.0);
        assert!(rate.0.len() < 40, "{}", rate.0.len());
    }

    #[test]
    fn the_line_says_how_far_how_fast_and_how_long_yet() {
        const MIB: u64 = 1 << 20;
        for (done, total, rate, says) in [
            (0, None, None, "staging 0 B"),
            (MIB, None, Some(MIB as f64), "staging 1.00 MiB, 1.00 MiB/s"),
            (MIB, Some(4 * MIB), None, "staging 1.00 MiB of 4.00 MiB"),
            (
                MIB,
                Some(121 * MIB),
                Some(MIB as f64),
                "staging 1.00 MiB of 121.00 MiB, 1.00 MiB/s, 2 minutes left",
            ),
            (
                MIB,
                Some(2 * MIB),
                Some(0.0),
                "staging 1.00 MiB of 2.00 MiB, 0 B/s",
            ),
            (MIB, Some(MIB), Some(9.0), "staging 1.00 MiB of 1.00 MiB, 9 B/s"),
            // A file that grew meanwhile.
            (2 * MIB, Some(MIB), None, "staging 1.00 MiB of 1.00 MiB"),
            (0, Some(u64::MAX), Some(1.0), "staging 0 B of 16.00 EiB, 1 B/s"),
        ] {
            assert_eq!(line("staging", done, total, rate), says);
        }
    }

    /// A terminal of twenty columns that keeps what is written to it.
    #[derive(Debug, Clone, Default)]
    struct Narrow(Arc<Mutex<String>>);

    impl TermLike for Narrow {
        fn width(&self) -> u16 {
            20
        }
        fn move_cursor_up(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn write_line(&self, text: &str) -> std::io::Result<()> {
            self.write_str(text)
        }
        fn write_str(&self, text: &str) -> std::io::Result<()> {
            self.0.lock().unwrap().push_str(&format!("{text}\n"));
            Ok(())
        }
        fn clear_line(&self) -> std::io::Result<()> {
            Ok(())
        }
        fn flush(&self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_is_never_wider_than_the_terminal() {
        let term = Narrow::default();
        let meter = Arc::new(Meter::default());
        meter.expect(123_456_789);
        let target = ProgressDrawTarget::term_like(Box::new(term.clone()));
        let bar = Bar::on(target, "staging", meter);
        let began = Instant::now();
        while !term.0.lock().unwrap().contains("staging 0 B") {
            assert!(began.elapsed() < Duration::from_secs(10), "nothing was drawn");
            std::thread::sleep(Duration::from_millis(20));
        }
        drop(bar);
        let drawn = term.0.lock().unwrap().clone();
        assert!(drawn.lines().all(|line| line.chars().count() <= 20), "{drawn:?}");
    }
}
