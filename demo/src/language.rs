//! What people write: whole sentences by topic, which read naturally in any order.

mod asia;
mod europe;
mod romance;

/// A language's words.
#[derive(Debug)]
pub struct Language {
    /// Its code: `en`.
    pub code: &'static str,
    /// How many of a hundred people speak it, about.
    pub share: u32,
    /// What stands between two sentences.
    pub between: &'static str,
    /// Whether the family name comes first, without a space.
    pub family_first: bool,
    /// Given names, in their script and in ASCII.
    pub given_names: &'static [(&'static str, &'static str)],
    /// Family names, in their script and in ASCII.
    pub family_names: &'static [(&'static str, &'static str)],
    /// What people say of themselves.
    pub bios: &'static [&'static str],
    /// How a post may begin.
    pub leads: &'static [&'static str],
    /// How a post may end.
    pub closers: &'static [&'static str],
    /// What posts are about.
    pub topics: &'static [Topic],
    /// What is said below a post.
    pub comments: &'static [&'static str],
}

/// A topic.
#[derive(Debug)]
pub struct Topic {
    /// Its hashtag without the `#`.
    pub tag: &'static str,
    /// A headline.
    pub title: &'static str,
    /// What can be said of it: at least two sentences.
    pub sentences: &'static [&'static str],
}

/// Every language; the first is that of the two who can log in.
pub static LANGUAGES: [Language; 10] = [
    europe::ENGLISH,
    romance::SPANISH,
    romance::PORTUGUESE,
    europe::GERMAN,
    romance::FRENCH,
    asia::JAPANESE,
    asia::HINDI,
    asia::ARABIC,
    asia::CHINESE,
    europe::TURKISH,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_has_enough_to_say() {
        for language in &LANGUAGES {
            let lists = [language.bios, language.leads, language.closers, language.comments];
            assert!(lists.iter().all(|list| list.len() >= 3), "{}", language.code);
            assert!(
                language.given_names.len() >= 6 && language.family_names.len() >= 6,
                "{}",
                language.code
            );
            assert!(language.topics.len() >= 4 && language.topics.iter().all(|topic| topic.sentences.len() >= 3));
            let names = language.given_names.iter().chain(language.family_names);
            for (_, ascii) in names {
                assert!(
                    ascii.len() <= 9 && ascii.bytes().all(|b| b.is_ascii_lowercase()),
                    "{ascii}"
                );
            }
        }
    }
}
