//! When an open-loop generator sends: times computed ahead, as strangers arrive who know nothing of each other.

use std::time::Duration;

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution as _, Exp};

use crate::failure::{During as _, Result};

/// The sending times of a phase, ascending, with `per_second` on average. The same seed gives the same times.
pub(crate) fn poisson(per_second: f64, length: Duration, seed: u64) -> Result<Vec<Duration>> {
    let pauses = Exp::new(per_second).during("a rate of sending")?;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut times = Vec::new();
    let mut at = 0.0;
    loop {
        at += pauses.sample(&mut random);
        if at >= length.as_secs_f64() {
            return Ok(times);
        }
        times.push(Duration::from_secs_f64(at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_ascend_and_are_as_many_as_the_rate_says() {
        let length = Duration::from_secs(100);
        let times = poisson(50.0, length, 7).unwrap();
        assert!(times.is_sorted() && times.last().is_some_and(|last| *last < length));
        // Five standard deviations.
        assert!((4_646..=5_354).contains(&times.len()), "{}", times.len());
        assert_eq!(times, poisson(50.0, length, 7).unwrap());
        assert_ne!(times, poisson(50.0, length, 8).unwrap());
    }
}
