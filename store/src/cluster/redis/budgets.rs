//! Budgets of calls that processes share.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fred::interfaces::LuaInterface as _;
use social_core::backend::{Budgets, Taken};
use social_core::{Error, Result};

use super::link::Link;
use super::{Redis, spread};

/// Parts of the keys, each on one server of a Redis Cluster.
const PART_BITS: u32 = 4;
const PARTS: usize = 1 << PART_BITS;

const TAKE: &str = include_str!("budgets/take.lua");

/// Budgets in Redis: for each bucket the moment when it is full again. Keys end with it.
pub struct RedisBudgets {
    link: Arc<Link>,
    /// What keys begin with, by part.
    parts: Vec<String>,
}

impl RedisBudgets {
    /// Budgets over a connection of their own.
    pub async fn new(redis: &Redis) -> Self {
        let parts: Vec<String> = (0..PARTS).map(|part| redis.key(format_args!("b{part}"), "")).collect();
        Self {
            link: redis.link(redis.shared.patience, parts.clone()).await,
            parts,
        }
    }
}

#[async_trait]
impl Budgets for RedisBudgets {
    async fn take(&self, taken: &[Taken]) -> Result<Vec<Duration>> {
        let mut of_part: Vec<Vec<usize>> = vec![Vec::new(); PARTS];
        for (place, taken) in taken.iter().enumerate() {
            of_part[part(&taken.bucket)].push(place);
        }
        let places: Vec<(usize, Vec<usize>)> = of_part
            .into_iter()
            .enumerate()
            .filter(|(_, places)| !places.is_empty())
            .collect();
        let commands = places.iter().map(|(part, places)| {
            let keys: Vec<String> = places
                .iter()
                .map(|place| format!("{}{}", self.parts[*part], taken[*place].bucket))
                .collect();
            let costs: Vec<String> = places.iter().map(|place| micros(&taken[*place])).collect();
            self.link.client().eval::<Vec<i64>, _, _, _>(TAKE, keys, costs)
        });
        let answers = self.link.all(commands).await.map_err(|_| Error::unavailable())?;
        let mut until_full = vec![Duration::ZERO; taken.len()];
        for ((_, places), answer) in places.iter().zip(answers) {
            let answer = answer.map_err(|error| {
                tracing::warn!(
                    error = super::connect::redacted(&error),
                    "Redis refuses to keep budgets"
                );
                Error::unavailable()
            })?;
            for (place, micros) in places.iter().zip(answer) {
                until_full[*place] = Duration::from_micros(u64::try_from(micros).unwrap_or_default());
            }
        }
        Ok(until_full)
    }
}

/// What the calls cost together, in microseconds.
fn micros(taken: &Taken) -> String {
    (taken.cost * taken.calls).as_micros().to_string()
}

/// The part of a bucket: the same in every process.
fn part(bucket: &str) -> usize {
    let number = bucket
        .bytes()
        .fold(0_u64, |number, byte| number.wrapping_mul(31).wrapping_add(byte.into()));
    spread(number, PART_BITS)
}
