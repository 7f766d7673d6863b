//! The table that the attacks fill, and the bounds of the issue that each row is held to. All rows run before any fails.

use std::time::Duration;

use anyhow::{Result, ensure};
use bosc_tests::watch::Cost;

/// What a process may grow by for one hostile connection, and in all.
pub(crate) const GROWTH_OF_ONE: u64 = 32 << 20;
const GROWTH_OF_ALL: u64 = 256 << 20;
/// When what is above [`GROWTH_OF_ONE`] has to be given back.
pub(crate) const GIVEN_BACK: Duration = Duration::from_secs(20);
/// An honest client's time under attack, as a multiple of the quiet time. What starting two programs takes comes on top.
const SLOWER: u32 = 2;
const STARTING: Duration = Duration::from_millis(500);

/// What is said of attacks, and what was wrong.
#[derive(Debug, Default)]
pub(crate) struct Table {
    wrong: Vec<String>,
}

/// One attack.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) connections: u64,
    pub(crate) sent: u64,
    pub(crate) cost: Cost,
    pub(crate) kept: (u64, Duration),
    /// What an honest client may cost besides.
    pub(crate) honest_growth: u64,
    /// Its time under attack, and when all is quiet.
    pub(crate) honest: Option<(Duration, Duration)>,
}

impl Table {
    pub(crate) fn wrong(&mut self, what: String) {
        println!("WRONG: {what}");
        self.wrong.push(what);
    }

    pub(crate) fn row(&mut self, row: &Row) {
        let (kept, after) = row.kept;
        let honest = row.honest.map_or_else(String::new, |(took, quiet)| {
            format!(
                "; honest {:.2} s, quiet {:.2} s",
                took.as_secs_f32(),
                quiet.as_secs_f32()
            )
        });
        let name = &row.name;
        println!(
            "{name:24} {:>6} KiB sent, grew {:>3} MiB, keeps {:>3} MiB after {:>4.1} s, {:.2} processors{honest}",
            row.sent >> 10,
            row.cost.grown >> 20,
            kept >> 20,
            after.as_secs_f32(),
            row.cost.cpu,
        );
        if row.sent == 0 {
            self.wrong(format!("{name}: nothing was sent"));
        }
        let most = (row.connections * GROWTH_OF_ONE).min(GROWTH_OF_ALL) + row.honest_growth;
        if row.cost.grown > most {
            self.wrong(format!("{name}: it grew by {} MiB", row.cost.grown >> 20));
        }
        if kept > GROWTH_OF_ONE {
            self.wrong(format!("{name}: it keeps {} MiB", kept >> 20));
        }
        if let Some((took, quiet)) = row.honest
            && took > SLOWER * quiet + STARTING
        {
            self.wrong(format!(
                "{name}: an honest client took {took:?}, {quiet:?} when quiet"
            ));
        }
    }

    pub(crate) fn verdict(self) -> Result<()> {
        ensure!(self.wrong.is_empty(), "{}", self.wrong.join("; "));
        Ok(())
    }
}
