//! Home timelines: select, merge, hydrate, filter, page.

mod deep;
mod home;
mod marker;
mod merge;
mod read_ahead;
mod ready;
mod stream;

pub use home::{HomePage, HomeRequest, home};
pub use marker::{Marker, get_marker, set_marker};
pub use read_ahead::ReadAhead;
pub use ready::rebuild;
pub use stream::{AddedPost, HomeEvent, HomeSubscribe, HomeSubscription, subscribe};
