//! Progress of long work: shown on stderr where somebody looks at it, and gone when the work is done.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::Output;

const TICK: Duration = Duration::from_millis(120);

/// For work of unknown length.
pub(crate) fn spinner(output: &Output, what: impl Into<String>) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, target(output));
    bar.set_message(what.into());
    if output.shows_progress() {
        bar.enable_steady_tick(TICK);
    }
    bar
}

/// For `total` items.
pub(crate) fn bar(output: &Output, what: impl Into<String>, total: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total), target(output));
    let style = ProgressStyle::with_template("{msg:12} [{bar:30}] {human_pos}/{human_len}  {per_sec}  {eta} left");
    if let Ok(style) = style {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_message(what.into());
    bar
}

fn target(output: &Output) -> ProgressDrawTarget {
    if output.shows_progress() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    }
}
