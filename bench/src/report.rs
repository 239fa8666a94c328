//! What a run says in the end: a table for people, and one JSON object on the last line for programs.

use std::fmt::Write as _;

use comfy_table::Table;
use comfy_table::presets::UTF8_BORDERS_ONLY;
use serde::Serialize;

use crate::failure::{During as _, Result};
use crate::memory::Memory;
use crate::runs::{Round, median, spread};

/// Which side of the goal is the good one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

impl Goal {
    fn value(self) -> f64 {
        match self {
            Self::AtLeast(value) | Self::AtMost(value) => value,
        }
    }

    fn is_met(self, ratio: f64) -> bool {
        match self {
            Self::AtLeast(value) => ratio >= value,
            Self::AtMost(value) => ratio <= value,
        }
    }
}

/// A ratio, as it goes to programs.
#[derive(Debug, Serialize)]
pub(crate) struct Ratio {
    name: &'static str,
    /// Medians of both sides.
    ours: f64,
    reference: f64,
    /// The median of the rounds' ratios.
    ratio: f64,
    goal: f64,
    met: bool,
    unit: &'static str,
    /// Rounds that were taken.
    runs: usize,
    /// How far the rounds' ratios lie apart, as a part of their median.
    spread: f64,
    ratios: Vec<f64>,
    /// What the run was made with, and what it came upon beside.
    details: serde_json::Value,
    memory: Vec<Memory>,
    #[serde(skip)]
    rounds: Vec<Round>,
}

impl Ratio {
    pub(crate) fn new(
        name: &'static str,
        goal: Goal,
        unit: &'static str,
        rounds: Vec<Round>,
        details: serde_json::Value,
        memory: Vec<Memory>,
    ) -> Self {
        let ratios: Vec<f64> = rounds.iter().map(|round| rounded(round.ratio())).collect();
        let ratio = median(ratios.iter().copied());
        Self {
            name,
            ours: rounded(median(rounds.iter().map(|round| round.ours))),
            reference: rounded(median(rounds.iter().map(|round| round.reference))),
            ratio,
            goal: goal.value(),
            met: goal.is_met(ratio),
            unit,
            runs: rounds.len(),
            spread: rounded(spread(ratios.iter().copied())),
            ratios,
            details,
            memory,
            rounds,
        }
    }

    /// The goal does not hold whatever the ratio is: something else was found wrong.
    pub(crate) fn refuse(&mut self) {
        self.met = false;
    }

    fn table(&self) -> String {
        let mut table = bare_table();
        table.set_header(["", "ours", "reference", "ratio"]);
        for (number, round) in self.rounds.iter().enumerate() {
            table.add_row([
                format!("round {}", number + 1),
                format!("{:.1}", round.ours),
                format!("{:.1}", round.reference),
                format!("{:.2}", round.ratio()),
            ]);
        }
        table.add_row([
            "median".to_owned(),
            format!("{:.1}", self.ours),
            format!("{:.1}", self.reference),
            format!("{:.2}", self.ratio),
        ]);
        let mut text = format!("{} ({})\n{table}\n", self.name, self.unit);
        let met = if self.met { "met" } else { "not met" };
        let _ = writeln!(
            text,
            "ratio {:.2}, goal {}: {met}; spread {:.0} % of {} rounds",
            self.ratio,
            self.goal,
            100.0 * self.spread,
            self.runs
        );
        let _ = writeln!(text, "{}", self.details);
        let _ = write!(text, "{}", memory_table(&self.memory));
        text
    }

    pub(crate) fn print(&self, json_only: bool) -> Result<()> {
        print(json_only, || self.table(), self)
    }
}

/// Prints a table for people, unless only programs read, and then the object.
pub(crate) fn print(json_only: bool, table: impl FnOnce() -> String, object: &impl Serialize) -> Result<()> {
    let object = serde_json::to_string(object).during("the report")?;
    if !json_only {
        println!("{}", table());
    }
    println!("{object}");
    Ok(())
}

pub(crate) fn bare_table() -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY);
    table
}

pub(crate) fn memory_table(memory: &[Memory]) -> String {
    let mut table = bare_table();
    table.set_header(["process", "resident", "peak"]);
    for one in memory {
        table.add_row([
            one.process.clone(),
            megabytes(one.resident_bytes),
            megabytes(one.peak_bytes),
        ]);
    }
    table.to_string()
}

pub(crate) fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// Four digits behind the point are more than any machine repeats.
pub(crate) fn rounded(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_object_has_what_programs_look_for() {
        let rounds = [(8.0, 10.0), (9.0, 10.0), (7.0, 10.0)].map(|(ours, reference)| Round { ours, reference });
        let details = serde_json::json!({ "followers": 3 });
        let mut ratio = Ratio::new("x", Goal::AtLeast(0.8), "rows/s", rounds.to_vec(), details, Vec::new());
        let object = serde_json::to_value(&ratio).unwrap();
        for (field, value) in [
            ("ours", 8.0),
            ("reference", 10.0),
            ("ratio", 0.8),
            ("goal", 0.8),
            ("spread", 0.25),
        ] {
            assert_eq!(object[field], value, "{field}");
        }
        assert_eq!((&object["name"], &object["unit"]), (&"x".into(), &"rows/s".into()));
        assert_eq!((&object["met"], &object["runs"]), (&true.into(), &3.into()));
        assert!(ratio.table().contains("goal 0.8: met"));
        ratio.refuse();
        assert!(ratio.table().contains("not met"));
    }

    #[test]
    fn a_goal_has_a_side() {
        assert!(Goal::AtLeast(0.8).is_met(0.8) && !Goal::AtLeast(0.8).is_met(0.79));
        assert!(Goal::AtMost(2.0).is_met(2.0) && !Goal::AtMost(2.0).is_met(2.1));
    }
}
