//! Counting what passed, failed and was skipped, from what the test runners print.

use std::fmt;
use std::ops::AddAssign;

/// What passed, what failed, and what could not be checked here or was left out by its own mark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Tally {
    pub(crate) const PASSED: Self = Self::new(1, 0, 0);
    pub(crate) const FAILED: Self = Self::new(0, 1, 0);
    pub(crate) const SKIPPED: Self = Self::new(0, 0, 1);

    const fn new(passed: u64, failed: u64, skipped: u64) -> Self {
        Self {
            passed,
            failed,
            skipped,
        }
    }

    /// Reads a runner's closing line: `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
    pub(crate) fn of_line(line: &str) -> Option<Self> {
        let (_, counts) = line.trim().strip_prefix("test result: ")?.split_once(". ")?;
        let count = |unit: &str| {
            counts
                .split("; ")
                .find_map(|part| part.strip_suffix(unit)?.trim().parse().ok())
                .unwrap_or_default()
        };
        Some(Self::new(count("passed"), count("failed"), count("ignored")))
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            passed,
            failed,
            skipped,
        } = self;
        write!(out, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_closing_lines_of_libtest() {
        let good = "test result: ok. 11 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        assert_eq!(Tally::of_line(good), Some(Tally::new(11, 0, 1)));
        let bad = "test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s";
        assert_eq!(Tally::of_line(bad), Some(Tally::new(2, 3, 0)));
        assert_eq!(Tally::of_line("test result_is_kept ... ok"), None);
        assert_eq!(Tally::of_line("running 3 tests"), None);
    }

    #[test]
    fn what_was_skipped_is_told() {
        let mut tally = Tally::PASSED;
        tally += Tally::SKIPPED;
        tally += Tally::SKIPPED;
        assert_eq!(tally.to_string(), "1 passed, 0 failed, 2 skipped");
    }
}
