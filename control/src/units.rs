//! Numbers as people read them.

/// A count with a comma at every third digit.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// So many of something: `1 port`, `2 ports`, `3 policies`.
pub(crate) fn some(number: usize, noun: &str) -> String {
    match noun.strip_suffix('y') {
        _ if number == 1 => format!("{number} {noun}"),
        Some(stem) => format!("{number} {stem}ies"),
        None => format!("{number} {noun}s"),
    }
}

/// Bytes, in the binary unit that leaves one to four digits before the point.
pub(crate) fn bytes(number: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let exponent = number.checked_ilog2().unwrap_or(0) / 10;
    match UNITS.get((exponent as usize).wrapping_sub(1)) {
        None => format!("{number} B"),
        Some(unit) => format!("{:.1} {unit}", number as f64 / f64::from(exponent * 10).exp2()),
    }
}

/// Bits, in the largest decimal unit that loses nothing of them.
pub(crate) fn bits(number: u64) -> String {
    const UNITS: [(u64, &str); 4] =
        [(1_000_000_000_000, "Tbit"), (1_000_000_000, "Gbit"), (1_000_000, "Mbit"), (1_000, "kbit")];
    let unit = UNITS.iter().find(|(unit, _)| number > 0 && number.is_multiple_of(*unit));
    unit.map_or_else(|| format!("{} bit", count(number)), |(unit, name)| format!("{} {name}", count(number / unit)))
}

/// Seconds, as the two largest units that are not zero: `3d 4h`, `4m 7s`, `9s`.
pub(crate) fn seconds(number: u64) -> String {
    let parts = [(number / 86_400, "d"), (number / 3_600 % 24, "h"), (number / 60 % 60, "m"), (number % 60, "s")];
    let shown: Vec<String> = parts
        .iter()
        .skip_while(|(amount, _)| *amount == 0)
        .take(2)
        .filter(|(amount, _)| *amount > 0)
        .map(|(amount, unit)| format!("{amount}{unit}"))
        .collect();
    if shown.is_empty() { "0s".to_owned() } else { shown.join(" ") }
}

/// Milliseconds below ten seconds, then as [`seconds`].
pub(crate) fn milliseconds(number: u64) -> String {
    if number < 10_000 { format!("{number}ms") } else { seconds(number / 1_000) }
}

/// Packets per second, in the unit that leaves three digits.
pub(crate) fn packet_rate(per_second: f64) -> String {
    if per_second >= 1e6 { format!("{:.2} Mpps", per_second / 1e6) } else { format!("{:.0} kpps", per_second / 1e3) }
}

/// A share in percent.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.1}%", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped_by_three_digits() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn a_noun_follows_its_number() {
        let written = [some(1, "port"), some(0, "port"), some(1, "policy"), some(2, "policy")];
        assert_eq!(written, ["1 port", "0 ports", "1 policy", "2 policies"]);
    }

    #[test]
    fn bytes_choose_their_unit() {
        assert_eq!([0, 1_023, 1_024, 1_536, 5 << 30].map(bytes), ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "5.0 GiB"]);
        assert_eq!(bytes(u64::MAX), "16.0 EiB");
    }

    #[test]
    fn bits_lose_nothing() {
        let written = [0, 12_144, 64_000, 100_000_000, 2_500_000_000, 1_000_000_000_000].map(bits);
        assert_eq!(written, ["0 bit", "12,144 bit", "64 kbit", "100 Mbit", "2,500 Mbit", "1 Tbit"]);
    }

    #[test]
    fn times_show_two_units() {
        assert_eq!([0, 9, 247, 3_600, 273_700].map(seconds), ["0s", "9s", "4m 7s", "1h", "3d 4h"]);
        assert_eq!([250, 10_000].map(milliseconds), ["250ms", "10s"]);
    }

    #[test]
    fn packet_rates_choose_their_unit() {
        assert_eq!([1_923_000.0, 84_400.0].map(packet_rate), ["1.92 Mpps", "84 kpps"]);
    }
}
