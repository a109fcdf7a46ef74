//! What a bench ends with: one line a case, as plain text, against the target.
//!
//! Criterion's own output says how a figure moved since the last run; this says whether it is good enough.

use crate::measure::Samples;

/// Width of the first column.
const NAME: usize = 38;

/// One case, measured.
pub struct Measured {
    /// Its name.
    pub name: String,
    /// Line and device together.
    pub whole: Samples,
    /// The device alone.
    pub device: Samples,
    /// The most a packet may cost in the line, nanoseconds.
    pub target: Option<f64>,
}

/// Prints a line a case: the line's cost is the whole's median less the device's. On a busy machine the fastest tenth says
/// more than the median, so it stands beside it.
pub fn print(cases: &[Measured]) {
    println!("\nnanoseconds a packet; line = whole - device, medians; best = the same of the fastest tenth;");
    println!("spread = the middle half of the whole");
    table(["whole", "device", "line"], cases);
}

/// Prints a line a case whose `device` is the same packets without something: what that adds.
pub fn print_added(cases: &[Measured]) {
    println!("\nnanoseconds a packet; added = with - without, medians; best = the same of the fastest tenth;");
    println!("spread = the middle half of what it is with it");
    table(["with", "without", "added"], cases);
}

fn table([whole, device, line]: [&str; 3], cases: &[Measured]) {
    println!("{:<NAME$} {whole:>8} {device:>8} {line:>8} {:>8}   {:>19} {:>8}", "case", "best", "spread", "target");
    for case in cases.iter().filter(|case| !case.whole.is_empty()) {
        let (whole, device) = (case.whole.quantile(0.5), case.device.quantile(0.5));
        let line = whole - device;
        let best = case.whole.quantile(0.1) - case.device.quantile(0.1);
        let spread = format!("{:.2} - {:.2}", case.whole.quantile(0.25), case.whole.quantile(0.75));
        let (target, verdict) = match case.target {
            Some(target) => (format!("{target:.0}"), if line <= target { "ok" } else { "over" }),
            None => ("-".to_owned(), ""),
        };
        println!(
            "{:<NAME$} {whole:>8.2} {device:>8.2} {line:>8.2} {best:>8.2}   {spread:>19} {target:>8} {verdict}",
            case.name
        );
    }
}
