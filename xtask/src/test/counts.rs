//! What the test programs' lines say: how many tests went how.

/// How many tests went how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) passed: u64,
    pub(super) failed: u64,
    pub(super) skipped: u64,
}

/// Reads the lines of one program.
#[derive(Debug, Default)]
pub(super) struct Reader {
    counts: Counts,
    /// Tests that passed because they cannot run here, and said so; no result line has told of them yet.
    idle: u64,
}

impl Reader {
    /// Adds a `test result:` line of libtest, or the line of a test that cannot run here.
    pub(super) fn add(&mut self, line: &str) {
        // It may stand behind the name of a test that libtest has begun to write.
        if line.contains("SKIPPED ") {
            self.idle += 1;
            return;
        }
        let Some(rest) = line.trim().strip_prefix("test result:") else {
            return;
        };
        for part in rest.split(['.', ';']) {
            let mut words = part.split_whitespace();
            let (Some(Ok(number)), Some(what)) = (words.next().map(str::parse::<u64>), words.next()) else {
                continue;
            };
            match what {
                "passed" => {
                    let idle = std::mem::take(&mut self.idle).min(number);
                    self.counts.passed += number - idle;
                    self.counts.skipped += idle;
                }
                "failed" => self.counts.failed += number,
                "ignored" => self.counts.skipped += number,
                _ => {}
            }
        }
    }

    /// All that was read.
    pub(super) fn counts(self) -> Counts {
        self.counts
    }
}

impl Counts {
    /// Adds what another program did.
    pub(super) fn add(&mut self, other: &Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_lines_add_up() {
        let mut reader = Reader::default();
        reader.add(
            "test result: ok. 31 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.17s",
        );
        reader.add("test result: FAILED. 7 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out");
        reader.add("test a::passed ... ok");
        reader.add("test b ... SKIPPED b: this is no root");
        reader.add("test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out");
        let mut counts = Counts {
            passed: 1,
            ..Counts::default()
        };
        counts.add(&reader.counts());
        assert_eq!(
            counts,
            Counts {
                passed: 41,
                failed: 1,
                skipped: 3,
            }
        );
    }
}
