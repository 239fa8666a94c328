//! Commands about several things: all are tried, and those that failed are told at the end.

use std::fmt::Display;

use crate::failure::{Exit, Failure, Result};

/// Does the work for each thing in turn. A failure that is about one thing keeps no other from its turn; one that would meet them all
/// (no server, no login) ends it, and says which were not tried. `noun` is what several of them are called.
pub(crate) async fn each<T: Display>(
    noun: &str,
    things: &[T],
    mut work: impl AsyncFnMut(&T) -> Result<()>,
) -> Result<()> {
    let mut failures = Vec::new();
    let mut left = things.iter();
    while let Some(thing) = left.next() {
        let Err(failure) = work(thing).await else { continue };
        if !is_about_one(&failure) {
            return Err(cut_short(failure, &failures, thing, left.as_slice()));
        }
        failures.push((thing.to_string(), failure));
    }
    if things.len() == 1
        && let Some((thing, failure)) = failures.pop()
    {
        return Err(failure.because(format!("about {thing}")));
    }
    if failures.is_empty() {
        return Ok(());
    }
    let what = format!("{} of {} {noun} failed", failures.len(), things.len());
    Err(summary(what, &failures))
}

/// Fails for what was asked for and is not there. What is there has been printed.
pub(crate) fn all_there<T: Display>(noun: &str, missing: &[T]) -> Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        Exit::NotFound,
        format!("no such {noun}: {}", joined(missing)),
    ))
}

fn is_about_one(failure: &Failure) -> bool {
    matches!(
        failure.exit(),
        Exit::Usage | Exit::Permission | Exit::NotFound | Exit::Conflict
    )
}

/// Ends with the code that all have in common, if there is one, and with the hint of the first.
fn summary(what: String, failures: &[(String, Failure)]) -> Failure {
    let first = failures.first().map(|(_, failure)| failure);
    let exit = first.map_or(Exit::Internal, Failure::exit);
    let alike = failures.iter().all(|(_, failure)| failure.exit() == exit);
    let mut whole = Failure::new(if alike { exit } else { Exit::Internal }, what);
    if let Some(hint) = first.and_then(Failure::hint_text).filter(|_| alike) {
        whole = whole.hint(hint);
    }
    told(whole, failures)
}

fn cut_short<T: Display>(failure: Failure, earlier: &[(String, Failure)], thing: &T, left: &[T]) -> Failure {
    // A reader who went away wants to hear no more.
    if failure.is_quiet() {
        return failure;
    }
    let failure = told(failure.because(format!("at {thing}")), earlier);
    if left.is_empty() {
        failure
    } else {
        failure.because(format!("not tried: {}", joined(left)))
    }
}

fn told(whole: Failure, failures: &[(String, Failure)]) -> Failure {
    failures.iter().fold(whole, |whole, (thing, failure)| {
        whole.because(format!("{thing}: {}", failure.what()))
    })
}

fn joined<T: Display>(things: &[T]) -> String {
    things.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs over `things`, of which those in `bad` fail, and gives the outcome and what was tried.
    async fn run(things: &[&str], bad: &[(&str, Exit)]) -> (Result<()>, Vec<String>) {
        let mut tried = Vec::new();
        let outcome = each("users", things, async |thing| {
            tried.push((*thing).to_owned());
            match bad.iter().find(|(name, _)| name == thing) {
                Some((name, exit)) => Err(Failure::new(*exit, format!("no {name}")).hint("look again")),
                None => Ok(()),
            }
        })
        .await;
        (outcome, tried)
    }

    #[tokio::test]
    async fn one_that_fails_keeps_no_other_from_its_turn() {
        let (outcome, tried) = run(&["a", "b", "c"], &[("b", Exit::NotFound)]).await;
        let failure = outcome.expect_err("one failed");
        assert_eq!(tried, ["a", "b", "c"]);
        assert_eq!(failure.exit(), Exit::NotFound);
        assert_eq!(
            failure.to_string(),
            "error: 1 of 3 users failed\n  b: no b\n hint: look again"
        );
        let (outcome, _) = run(&["a", "b"], &[("a", Exit::NotFound), ("b", Exit::Permission)]).await;
        assert_eq!(outcome.expect_err("both failed").exit(), Exit::Internal);
        assert!(run(&["a", "b"], &[]).await.0.is_ok());
    }

    #[tokio::test]
    async fn one_alone_fails_as_it_is() {
        let failure = run(&["a"], &[("a", Exit::NotFound)]).await.0.expect_err("failed");
        assert_eq!(failure.to_string(), "error: no a\n  about a\n hint: look again");
    }

    #[tokio::test]
    async fn what_would_meet_all_ends_it_and_tells_what_was_not_tried() {
        let bad = [("a", Exit::NotFound), ("b", Exit::Unavailable)];
        let (outcome, tried) = run(&["a", "b", "c", "d"], &bad).await;
        assert_eq!(tried, ["a", "b"]);
        let failure = outcome.expect_err("cut short");
        assert_eq!(failure.exit(), Exit::Unavailable);
        let text = failure.to_string();
        assert!(text.contains("a: no a") && text.contains("not tried: c d"), "{text}");
    }
}
