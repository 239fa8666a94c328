//! What processes hold, as Linux tells it in /proc.

use std::fs;

use serde::Serialize;

use crate::failure::{During as _, Failure, Result};

/// The memory of one process, in bytes.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Memory {
    pub(crate) process: String,
    /// Resident now.
    pub(crate) resident_bytes: u64,
    /// Resident at the most, since it was started.
    pub(crate) peak_bytes: u64,
}

impl Memory {
    pub(crate) fn of(process: &str, pid: u32) -> Result<Self> {
        let path = format!("/proc/{pid}/status");
        let status = fs::read_to_string(&path).during(&path)?;
        let field = |name| {
            let found = status.lines().find_map(|line| bytes(line, name));
            found.ok_or_else(|| Failure::new(format!("{path} says nothing of {name}")))
        };
        Ok(Self {
            process: process.to_owned(),
            resident_bytes: field("VmRSS:")?,
            peak_bytes: field("VmHWM:")?,
        })
    }
}

fn bytes(line: &str, name: &str) -> Option<u64> {
    let kilobytes = line.strip_prefix(name)?.trim().strip_suffix(" kB")?;
    Some(kilobytes.parse::<u64>().ok()? * 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_holds_no_more_than_its_peak() {
        let own = Memory::of("this one", std::process::id()).unwrap();
        assert!(
            own.resident_bytes > 1 << 20 && own.peak_bytes >= own.resident_bytes,
            "{own:?}"
        );
        assert_eq!(bytes("VmRSS:\t    12 kB", "VmRSS:"), Some(12 * 1_024));
        assert_eq!(bytes("VmSize:\t    12 kB", "VmRSS:"), None);
    }

    #[test]
    fn a_process_that_is_not_there_is_an_error_of_one_line() {
        let error = Memory::of("nobody", u32::MAX).unwrap_err().to_string();
        assert!(
            error.contains("/proc/4294967295/status") && !error.contains('\n'),
            "{error}"
        );
    }
}
