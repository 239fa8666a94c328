//! Somebody, and since when: a follower, a like.

use social_sdk::{Timestamp, v1};

use super::at;
use crate::output::{Cell, Column, Now};

/// Columns of a list.
pub(crate) const COLUMNS: &[Column] = &[
    Column::name("HANDLE"),
    Column::text("NAME"),
    Column::fixed("SINCE"),
    Column::fixed("ID"),
];

/// Id of the user.
pub(crate) fn id(user: Option<&v1::UserSummary>) -> String {
    user.map(|user| user.id.clone()).unwrap_or_default()
}

/// A row of a list.
pub(crate) fn row(user: Option<&v1::UserSummary>, since: Option<Timestamp>, now: Now) -> Vec<Cell> {
    let name = user.map(|user| user.display_name.clone()).unwrap_or_default();
    vec![
        Cell::strong(at(user)),
        Cell::plain(name),
        Cell::age(now, since),
        Cell::dim(id(user)),
    ]
}

/// One alone.
pub(crate) fn card(user: Option<&v1::UserSummary>, since: Option<Timestamp>, now: Now) -> Vec<(&'static str, Cell)> {
    ["handle", "name", "since", "id"]
        .into_iter()
        .zip(row(user, since, now))
        .collect()
}
