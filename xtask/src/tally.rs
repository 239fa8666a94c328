//! Counting what passed, failed and was skipped, from what the test runners print.

use std::fmt;
use std::ops::AddAssign;

/// What passed, what failed, and what could not be checked here or was left out by its own mark.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
    /// What could not be checked here, and why.
    pub(crate) not_checked: Vec<&'static str>,
}

impl Tally {
    pub(crate) const PASSED: Self = Self::new(1, 0, 0);
    pub(crate) const FAILED: Self = Self::new(0, 1, 0);

    const fn new(passed: u64, failed: u64, skipped: u64) -> Self {
        Self {
            passed,
            failed,
            skipped,
            not_checked: Vec::new(),
        }
    }

    /// Something that could not be checked here: it counts as skipped, and is told again at the end.
    pub(crate) fn not_checked(what: &'static str) -> Self {
        Self {
            not_checked: vec![what],
            ..Self::new(0, 0, 1)
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
        self.not_checked.extend(other.not_checked);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            passed,
            failed,
            skipped,
            not_checked: _,
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
        tally += Tally::not_checked("the tide");
        tally += Tally::not_checked("the moon");
        assert_eq!(tally.to_string(), "1 passed, 0 failed, 2 skipped");
        assert_eq!(tally.not_checked, ["the tide", "the moon"]);
    }
}
