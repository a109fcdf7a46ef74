//! Where a number stands on a picture's axis, and which numbers are written beside it.

/// How far apart two numbers of a logarithmic axis are at least, in tens.
const DECADES: f64 = 1.0;

/// An axis of a picture: numbers to pixels.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scale {
    /// From zero, evenly.
    Even {
        /// The number at the far end.
        most: f64,
        /// Between two ticks.
        step: f64,
    },
    /// By powers of ten.
    Tens {
        /// The power at the near end.
        from: i32,
        /// The power at the far end.
        to: i32,
    },
    /// One place for each value that was measured, whatever lies between them: for 0, 1, 1,000 and 10,000 of something.
    Steps(Vec<f64>),
}

impl Scale {
    /// Evenly from zero to at least the largest of these.
    #[must_use]
    pub(super) fn even(values: impl IntoIterator<Item = f64>) -> Self {
        let largest = values.into_iter().fold(0.0, f64::max);
        let largest = if largest > 0.0 { largest } else { 1.0 };
        let power = 10f64.powf((largest / 4.0).log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0].map(|of| of * power).into_iter().find(|step| largest / step <= 5.0);
        let step = step.unwrap_or(10.0 * power);
        Self::Even { most: (largest / step).ceil() * step, step }
    }

    /// By powers of ten around these, which are above zero.
    #[must_use]
    pub(super) fn tens(values: impl IntoIterator<Item = f64>) -> Self {
        let (mut least, mut most) = (f64::MAX, f64::MIN_POSITIVE);
        for value in values.into_iter().filter(|value| *value > 0.0) {
            (least, most) = (least.min(value), most.max(value));
        }
        if least > most {
            (least, most) = (1.0, 10.0);
        }
        let (from, to) = (least.log10().floor(), most.log10().ceil());
        Self::Tens { from: from as i32, to: to.max(from + DECADES) as i32 }
    }

    /// A place each, in order, none twice.
    #[must_use]
    pub(super) fn steps(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        values.dedup();
        Self::Steps(values)
    }

    /// Where a number stands: 0 at the near end, 1 at the far one.
    #[must_use]
    pub(super) fn place(&self, value: f64) -> f64 {
        match self {
            Self::Even { most, .. } => value / most,
            Self::Tens { from, to } => {
                let power = value.max(10f64.powi(*from)).log10();
                (power - f64::from(*from)) / f64::from(to - from)
            }
            Self::Steps(values) => {
                let at = values.iter().position(|known| *known >= value).unwrap_or(values.len());
                (at as f64 + 0.5) / values.len().max(1) as f64
            }
        }
    }

    /// The numbers to write beside the axis.
    #[must_use]
    pub(super) fn ticks(&self) -> Vec<f64> {
        match self {
            Self::Even { most, step } => (0..=(most / step).round() as u32).map(|at| f64::from(at) * step).collect(),
            Self::Tens { from, to } => (*from..=*to).map(|power| 10f64.powi(power)).collect(),
            Self::Steps(values) => values.clone(),
        }
    }
}

/// A number as people write it: three or four digits, which is more than most runs agree in.
#[must_use]
pub(super) fn figure(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        // A ratio of 0.969 is not one of 0.97.
        size if size < 9.9995 => format!("{value:.3}"),
        size if size < 99.95 => format!("{value:.1}"),
        _ => grouped(value),
    }
}

/// A whole number with its thousands apart: `1,000,000`.
#[must_use]
pub(super) fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = if value < 0.0 { "-".to_owned() } else { String::new() };
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A tick's number, short: `0.5`, `64`, `1k`, `1M`.
#[must_use]
pub(super) fn tick(value: f64) -> String {
    match value.abs() {
        size if size >= 1e6 => format!("{}M", value / 1e6),
        // Frame sizes are read to the byte.
        size if size >= 1e4 || (size >= 1e3 && value % 1e3 == 0.0) => format!("{}k", value / 1e3),
        // What a step added up to, without what binary fractions add to it.
        _ => format!("{}", (value * 1e6).round() / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_scale_ends_above_its_largest_value_on_a_round_number() {
        for (largest, most, step) in
            [(2.35, 2.5, 0.5), (9.9, 10.0, 2.0), (0.078, 0.08, 0.02), (1.0, 1.0, 0.2), (0.0, 1.0, 0.2)]
        {
            let scale = Scale::even([0.01 * largest, largest]);
            let Scale::Even { most: end, step: between } = scale else { panic!("{scale:?}") };
            assert!((end - most).abs() < 1e-9 && (between - step).abs() < 1e-9, "{largest}: {scale:?}");
        }
    }

    #[test]
    fn tens_reach_around_what_was_measured() {
        let scale = Scale::tens([41.0, 3.0, 900.0]);
        assert_eq!(scale, Scale::Tens { from: 0, to: 3 });
        assert_eq!(scale.ticks(), [1.0, 10.0, 100.0, 1000.0]);
        assert!((scale.place(10.0) - 1.0 / 3.0).abs() < 1e-9);
        // Nothing lies below the near end, not even zero.
        assert_eq!(scale.place(0.0), 0.0);
        assert_eq!(Scale::tens([10.0]), Scale::Tens { from: 1, to: 2 });
    }

    #[test]
    fn steps_stand_evenly_whatever_their_values() {
        let scale = Scale::steps([10_000.0, 0.0, 1.0, 0.0, 1_000.0]);
        assert_eq!(scale.ticks(), [0.0, 1.0, 1_000.0, 10_000.0]);
        assert_eq!([0.0, 1.0, 1_000.0, 10_000.0].map(|value| scale.place(value)), [0.125, 0.375, 0.625, 0.875]);
    }

    #[test]
    fn numbers_are_written_as_people_do() {
        assert_eq!(
            [0.0, 0.078, 0.986, 2.345, 16.08, 173.6, 1e6].map(figure),
            ["0", "0.078", "0.986", "2.345", "16.1", "174", "1,000,000"]
        );
        assert_eq!([0.0, 0.5, 1518.0, 1e3, 1e5, 1e6].map(tick), ["0", "0.5", "1518", "1k", "100k", "1M"]);
        assert_eq!(tick(0.1 + 0.2), "0.3");
        assert_eq!([-1451.0, 12.0, 999_999.0].map(grouped), ["-1,451", "12", "999,999"]);
    }
}
