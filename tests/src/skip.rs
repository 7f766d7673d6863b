//! A test that cannot run on this machine says so where a person and the test runner see it.

use std::fmt::Display;
use std::io::Write;

/// Says why the running test shows nothing here. `cargo xtask test` counts such lines as skipped tests.
pub fn skipped(why: impl Display) {
    let thread = std::thread::current();
    // Straight to the stream: the test harness shows no output of a test that passes.
    let _ = writeln!(
        std::io::stdout(),
        "SKIPPED {}: {why:#}",
        thread.name().unwrap_or("a test")
    );
}
