//! The statistics of repeated runs: median and spread, ratios, geometric mean.

use serde::Serialize;

/// What repeated runs gave.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The middle value.
    pub median: f64,
    /// The smallest value.
    pub min: f64,
    /// The largest value.
    pub max: f64,
    /// A quarter of the values are below (interpolated).
    pub first_quartile: f64,
    /// A quarter of the values are above (interpolated).
    pub third_quartile: f64,
    /// All values in the order in which they were measured.
    pub samples: Vec<f64>,
}

impl Summary {
    /// Sums up samples; `None` if there are none.
    pub fn of(samples: Vec<f64>) -> Option<Self> {
        let mut sorted = samples.clone();
        sorted.sort_by(f64::total_cmp);
        Some(Self {
            min: *sorted.first()?,
            max: *sorted.last()?,
            median: quantile(&sorted, 0.5)?,
            first_quartile: quantile(&sorted, 0.25)?,
            third_quartile: quantile(&sorted, 0.75)?,
            samples,
        })
    }

    /// The number of the sample nearest to the median.
    pub fn nearest_to_median(&self) -> usize {
        let away = |at: &usize| (self.samples[*at] - self.median).abs();
        let nearest = (0..self.samples.len()).min_by(|one, other| away(one).total_cmp(&away(other)));
        nearest.unwrap_or(0)
    }
}

/// The value below which the fraction `at` of the sorted values lies, interpolated linearly.
fn quantile(sorted: &[f64], at: f64) -> Option<f64> {
    let place = at * sorted.len().checked_sub(1)? as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    Some(below + (above - below) * place.fract())
}

/// The median of some values; `None` if there are none.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    quantile(&values, 0.5)
}

/// The standard deviation of a whole population as a part of its mean; `None` if there are no values or their
/// mean is 0.
pub fn variation(values: &[f64]) -> Option<f64> {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64;
    Some(variance.sqrt() / mean).filter(|variation| variation.is_finite())
}

/// The geometric mean: the right mean of ratios. `None` if there are none or one is not above 0.
pub fn geometric_mean(ratios: &[f64]) -> Option<f64> {
    if ratios.is_empty() || ratios.iter().any(|&ratio| ratio.is_nan() || ratio <= 0.0) {
        return None;
    }
    let logs: f64 = ratios.iter().map(|ratio| ratio.ln()).sum();
    Some((logs / ratios.len() as f64).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_and_even_counts_have_the_right_median() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median(vec![]), None);
    }

    #[test]
    fn summary_orders_its_values_and_keeps_the_samples() {
        let summary = Summary::of(vec![5.0, 1.0, 4.0, 2.0, 3.0]).expect("not empty");
        assert_eq!((summary.min, summary.median, summary.max), (1.0, 3.0, 5.0));
        assert_eq!((summary.first_quartile, summary.third_quartile), (2.0, 4.0));
        assert_eq!(summary.nearest_to_median(), 4);
        assert_eq!(summary.samples, [5.0, 1.0, 4.0, 2.0, 3.0]);
        assert_eq!(Summary::of(vec![]), None);
    }

    #[test]
    fn one_outlier_does_not_move_the_median() {
        let summary = Summary::of(vec![10.0, 10.0, 1000.0]).expect("not empty");
        assert_eq!(summary.median, 10.0);
    }

    #[test]
    fn variation_is_the_deviation_as_a_part_of_the_mean() {
        assert_eq!(variation(&[8.0, 12.0]), Some(0.2));
        assert_eq!(variation(&[3.0]), Some(0.0));
        assert_eq!(variation(&[]), None);
    }

    #[test]
    fn doubling_and_halving_cancel_in_the_geometric_mean() {
        let mean = geometric_mean(&[2.0, 0.5, 1.0]).expect("not empty");
        assert!((mean - 1.0).abs() < 1e-12);
        assert_eq!(geometric_mean(&[]), None);
        assert_eq!(geometric_mean(&[1.0, 0.0]), None);
    }
}
