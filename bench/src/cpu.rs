//! What work costs in CPU time, which a busy machine falsifies less than it does the time on the clock.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use crate::failure::{During as _, Failure, Result};

/// Linux tells CPU time in these, whatever the machine is.
const TICK: Duration = Duration::from_millis(10);

/// Sums up the CPU time that processes spend on one side of a comparison.
pub(crate) struct Meter {
    processes: Vec<(String, u32)>,
    spent: BTreeMap<String, Duration>,
}

impl Meter {
    /// Watches processes, by name and number, and this one.
    pub(crate) fn new(processes: &[(String, u32)]) -> Self {
        let mut processes = processes.to_vec();
        processes.push(("bench".to_owned(), std::process::id()));
        Self {
            processes,
            spent: BTreeMap::new(),
        }
    }

    /// Counts what is spent while something is done.
    pub(crate) async fn around<T>(&mut self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let before = self.read()?;
        let done = work.await?;
        for ((name, _), (before, after)) in self.processes.iter().zip(before.into_iter().zip(self.read()?)) {
            *self.spent.entry(name.clone()).or_default() += after.saturating_sub(before);
        }
        Ok(done)
    }

    /// Microseconds of each process for each of so many pieces of work.
    pub(crate) fn micros_each(&self, pieces: usize) -> BTreeMap<&str, f64> {
        let each = |spent: &Duration| (spent.as_secs_f64() * 1e7 / pieces.max(1) as f64).round() / 10.0;
        self.spent
            .iter()
            .map(|(name, spent)| (name.as_str(), each(spent)))
            .collect()
    }

    fn read(&self) -> Result<Vec<Duration>> {
        self.processes.iter().map(|(_, pid)| cpu_time(*pid)).collect()
    }
}

/// What all threads of a process have spent, those that ended included.
fn cpu_time(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).during(&path)?;
    let ticks = ticks(&stat).ok_or_else(|| Failure::new(format!("{path} says nothing of CPU time")))?;
    Ok(TICK * ticks)
}

fn ticks(stat: &str) -> Option<u32> {
    // The name before, in parentheses, may hold anything.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn user_and_system_time_are_the_14th_and_15th_field() {
        let stat = "7 (a ) b) S 1 1 1 0 -1 4194560 1 2 3 4 70 30 9 9 20 0 1 0 5 6";
        assert_eq!(ticks(stat), Some(100));
        assert_eq!(ticks("7 (a) S 1"), None);
    }

    #[tokio::test]
    async fn work_is_counted_and_rest_is_not() {
        let mut meter = Meter::new(&[]);
        let work = async {
            let began = Instant::now();
            while cpu_time(std::process::id())? < TICK * 10 && began.elapsed() < Duration::from_secs(30) {
                std::hint::black_box((0..100_000_u64).sum::<u64>());
            }
            Ok(())
        };
        meter.around(work).await.unwrap();
        assert!(meter.micros_each(1)["bench"] >= 10_000.0, "{:?}", meter.spent);
    }
}
