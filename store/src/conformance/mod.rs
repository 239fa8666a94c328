//! What every backend must do: one suite, a file a noun, run on each backend alike.
//!
//! A case is an `async fn(&Subject)` in its noun's file, named as the rule that it shows, and listed in that file's
//! `cases![]`. Each case has a backend of its own, empty, on a clock that stands still until the case moves it.
//! `tests/conformance.rs` runs them; the library itself does not hold the suite.

mod archive;
mod auth;
mod comments;
mod fanout;
mod graph;
mod import;
mod keyspaces;
mod likes;
mod model;
mod operator;
mod posts;
mod signals;
mod subject;
mod timeline;
mod users;

use futures::future::BoxFuture;

pub(crate) use subject::{Kind, Subject};

/// A rule, and what shows that a backend keeps it.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    /// The noun and the rule.
    pub(crate) name: &'static str,
    /// Panics where the backend breaks the rule.
    pub(crate) run: for<'a> fn(&'a Subject) -> BoxFuture<'a, ()>,
}

/// Lists the cases of a noun.
macro_rules! cases {
    ($noun:literal: $($case:ident,)*) => {
        /// The cases of this noun.
        pub(in crate::conformance) const CASES: &[crate::conformance::Case] = &[
            $(crate::conformance::Case { name: concat!($noun, "::", stringify!($case)), run: |t| Box::pin($case(t)) },)*
        ];
    };
}
pub(crate) use cases;

/// Every case of every noun.
pub(crate) fn all() -> impl Iterator<Item = Case> {
    let nouns = [
        // First: one of them takes longest, and the others fit beside it.
        model::CASES,
        auth::CASES,
        auth::sessions::CASES,
        users::CASES,
        posts::CASES,
        posts::change::CASES,
        posts::delete::CASES,
        posts::list::CASES,
        comments::CASES,
        likes::CASES,
        graph::CASES,
        graph::block::CASES,
        graph::fanout::CASES,
        fanout::CASES,
        fanout::dead::CASES,
        fanout::policy::CASES,
        operator::CASES,
        timeline::CASES,
        timeline::arrivals::CASES,
        signals::CASES,
        import::CASES,
        archive::CASES,
        archive::refused::CASES,
    ];
    nouns.into_iter().flatten().copied()
}

/// Cases that a backend cannot keep, and why.
pub(crate) const EXCEPTIONS: &[(Kind, &str, &str)] = &[
    (Kind::Cluster, "auth::dead_sessions_are_cleared_away", EXPIRY),
    (Kind::Cluster, "fanout::expiry_is_bounded", EXPIRY),
    (Kind::Cluster, "graph::following_has_a_bound", TENS_OF_THOUSANDS),
    (Kind::Cluster, "graph::blocks_and_mutes_have_bounds", TENS_OF_THOUSANDS),
    (
        Kind::Cluster,
        "timeline::reopening_leaves_no_position_valid",
        "timelines outlive a process there, and so do positions in them",
    ),
    (
        Kind::Cluster,
        "model::random_timelines_give_the_answers_of_the_reference",
        "a timeline beyond its bound is cut when it is read, so an append below the cut may count as delivered until then",
    ),
];

const EXPIRY: &str = "rows end by the time to live of their tables, by the store's clock and not by steps";
const TENS_OF_THOUSANDS: &str =
    "20,000 mutations, each durable on a real store, take minutes; the bound's count has unit tests of its own";
