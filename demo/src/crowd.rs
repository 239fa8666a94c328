//! Who speaks which language, and who is how well known.

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution as _, Zipf};

use crate::language::LANGUAGES;

/// How steeply fame falls with rank: at 1 the second would be half as well known as the first.
const EXPONENT: f64 = 0.75;
/// Randomness of the crowd as a whole; the other purposes follow.
const PURPOSE: u64 = 0;

/// The people of a world.
#[derive(Debug)]
pub(crate) struct Crowd {
    languages: Vec<u8>,
    /// Of each language, its speakers: the best known first.
    speakers: Vec<Vec<u32>>,
}

impl Crowd {
    /// A person's place is their rank: who comes first is known best.
    pub(crate) fn new(seed: u64, size: u32) -> Self {
        let total: u32 = LANGUAGES.iter().map(|language| language.share).sum();
        let mut languages = Vec::with_capacity(size as usize);
        let mut speakers = vec![Vec::new(); LANGUAGES.len()];
        let mut random = crate::stream(seed, PURPOSE, 0, 0);
        for user in 0..size {
            let draw = random.random_range(0..total);
            // The first two speak the first language.
            let language = if user < 2 { 0 } else { language_of(draw) };
            languages.push(language as u8);
            speakers[language].push(user);
        }
        Self { languages, speakers }
    }

    pub(crate) fn size(&self) -> u32 {
        self.languages.len() as u32
    }

    pub(crate) fn language(&self, user: u32) -> usize {
        self.languages[user as usize].into()
    }

    /// How well known a person is: 1 on the average, the first ones many times that.
    pub(crate) fn fame(&self, user: u32) -> f64 {
        let size = f64::from(self.size());
        (1.0 - EXPONENT) * (size / f64::from(user + 1)).powf(EXPONENT)
    }

    /// Somebody who speaks the language, the well known ones more often.
    pub(crate) fn star(&self, language: &crate::language::Language, random: &mut ChaCha8Rng) -> u32 {
        let speakers = self.speakers_of(language);
        if speakers.is_empty() {
            self.world_star(random)
        } else {
            speakers[rank(speakers.len(), random)]
        }
    }

    /// Somebody of the world, the well known ones more often.
    pub(crate) fn world_star(&self, random: &mut ChaCha8Rng) -> u32 {
        rank(self.languages.len(), random) as u32
    }

    /// Somebody who speaks the language, each as often.
    pub(crate) fn somebody(&self, language: &crate::language::Language, random: &mut ChaCha8Rng) -> u32 {
        let speakers = self.speakers_of(language);
        if speakers.is_empty() {
            random.random_range(0..self.size())
        } else {
            speakers[random.random_range(0..speakers.len())]
        }
    }

    /// Mostly somebody who speaks the language, at times anybody: a like needs no words.
    pub(crate) fn anybody(&self, language: &crate::language::Language, random: &mut ChaCha8Rng) -> u32 {
        if random.random_bool(0.6) {
            self.somebody(language, random)
        } else {
            random.random_range(0..self.size())
        }
    }

    fn speakers_of(&self, language: &crate::language::Language) -> &[u32] {
        let place = LANGUAGES.iter().position(|known| known.code == language.code);
        place.map_or(&[], |place| &self.speakers[place])
    }
}

fn language_of(draw: u32) -> usize {
    let mut left = draw;
    for (place, language) in LANGUAGES.iter().enumerate() {
        match left.checked_sub(language.share) {
            Some(rest) => left = rest,
            None => return place,
        }
    }
    0
}

/// A rank below `count`, low ones more often.
fn rank(count: usize, random: &mut ChaCha8Rng) -> usize {
    match Zipf::new(count as f64, EXPONENT) {
        Ok(zipf) => (zipf.sample(random) as usize).clamp(1, count) - 1,
        Err(_) => 0,
    }
}
