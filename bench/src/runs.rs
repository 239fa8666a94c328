//! Figures that can be compared: taken in turns, so that what slows the machine slows both sides, and summed up by their median.

use crate::failure::Result;

/// Both sides, one right after the other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Round {
    pub(crate) ours: f64,
    pub(crate) reference: f64,
}

impl Round {
    pub(crate) fn ratio(self) -> f64 {
        self.ours / self.reference
    }
}

/// Measures both sides in turns: A B, B A, A B, so that neither is always the one that comes first.
pub(crate) async fn interleave(
    rounds: usize,
    mut ours: impl AsyncFnMut() -> Result<f64>,
    mut reference: impl AsyncFnMut() -> Result<f64>,
) -> Result<Vec<Round>> {
    let mut taken = Vec::with_capacity(rounds);
    for number in 0..rounds {
        let round = if number % 2 == 0 {
            let ours = ours().await?;
            let reference = reference().await?;
            Round { ours, reference }
        } else {
            let reference = reference().await?;
            let ours = ours().await?;
            Round { ours, reference }
        };
        eprintln!(
            "  round {}: ours {:.1}, reference {:.1}, ratio {:.2}",
            number + 1,
            round.ours,
            round.reference,
            round.ratio()
        );
        taken.push(round);
    }
    Ok(taken)
}

/// Passes over the choices, so that what slows the machine for a moment spoils none of them.
const PASSES: usize = 3;

/// Tries each choice several times and gives the one with the highest figure.
pub(crate) async fn best(
    what: &str,
    choices: &[usize],
    mut measure: impl AsyncFnMut(usize) -> Result<f64>,
) -> Result<usize> {
    let mut best = (choices.first().copied().unwrap_or(1), 0.0);
    for choice in std::iter::repeat_n(choices, PASSES).flatten() {
        let figure = measure(*choice).await?;
        eprintln!("  {what} {choice}: {figure:.0}");
        if figure > best.1 {
            best = (*choice, figure);
        }
    }
    Ok(best.0)
}

/// The middle one; of an even number the mean of the two in the middle. 0 for none.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

/// How far the values lie apart, as a part of their median.
pub(crate) fn spread(values: impl IntoIterator<Item = f64> + Clone) -> f64 {
    let middle = median(values.clone());
    let (low, high) = values.into_iter().fold((f64::MAX, f64::MIN), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    if high < low || middle == 0.0 {
        return 0.0;
    }
    (high - low) / middle
}

/// By how much the second figure grows with the first: the slope of the straight line that is nearest to all points.
pub(crate) fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x_mean, y_mean) = (mean(|point| point.0), mean(|point| point.1));
    let together: f64 = points.iter().map(|(x, y)| (x - x_mean) * (y - y_mean)).sum();
    let alone: f64 = points.iter().map(|(x, _)| (x - x_mean).powi(2)).sum();
    if alone == 0.0 { 0.0 } else { together / alone }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_and_the_spread() {
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median([]), 0.0);
        assert_eq!(spread([0.9, 1.0, 1.2]), (1.2 - 0.9) / 1.0);
        assert_eq!(spread([]), 0.0);
    }

    #[test]
    fn a_straight_line_has_its_slope() {
        let line = [(0.0, 100.0), (10.0, 150.0), (20.0, 200.0)];
        assert!((slope(&line) - 5.0).abs() < 1e-9);
        assert_eq!(slope(&[(1.0, 1.0)]), 0.0);
    }

    #[tokio::test]
    async fn sides_take_turns_at_being_first() {
        let order = std::cell::RefCell::new(String::new());
        let side = |name: char, figure: f64| {
            order.borrow_mut().push(name);
            Ok(figure)
        };
        let rounds = interleave(3, async || side('a', 4.0), async || side('b', 2.0)).await;
        assert_eq!(
            rounds.unwrap().iter().map(|round| round.ratio()).collect::<Vec<_>>(),
            [2.0; 3]
        );
        assert_eq!(*order.borrow(), "abbaab");
    }

    #[tokio::test]
    async fn the_best_choice_has_the_highest_figure() {
        let chosen = best("at once", &[1, 2, 3], async |choice| {
            Ok(if choice == 2 { 9.0 } else { 1.0 })
        })
        .await;
        assert_eq!(chosen.unwrap(), 2);
    }
}
