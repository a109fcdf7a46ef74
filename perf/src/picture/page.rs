//! The report's text: for each section its pictures, the same numbers as a table, what bounds them and where they come from.

use std::{
    collections::BTreeMap,
    fmt::{self, Write},
    path::{Path, PathBuf},
};

use crate::{
    machine::Origin,
    picture::{
        Files, PICTURES, REPORT, RESULTS,
        bars::{self, Bar},
        catalogue::{Figure, SECTIONS, Section, Shape},
        curves::Curves,
        scale::{figure, tick},
    },
    report::Report,
    series::{Check, Series},
};

const OPENING: &str = "# What Podlane was measured to do

<!-- Made by `cargo run --release -p podlane-perf -- report` of the stored results; what is written here by hand is gone with the next run. -->

Every figure comes from a file in [results/](results/README.md) that has each round's number and names the machine, the kernel, the
command and the commit. `perf/measure` runs all the commands, one after the other, and makes this page of what they found.

Things that are compared were measured in turns in one run, load and switch on cores of their own. A bar or a point is the median of the
rounds; its whisker goes from the slowest to the fastest round. A ratio is taken within each round, then the median of the ratios: so it
is not exactly the ratio of two medians. An absolute figure is of this machine, a ratio travels better.
";

/// The report and its pictures, of the results that are there.
pub(super) fn write(results: &BTreeMap<String, Report>) -> Files {
    let mut files = Files::new();
    let mut page = OPENING.to_owned();
    for section in SECTIONS {
        // A String takes everything.
        let _ = match results.get(section.result) {
            Some(report) => measured(&mut page, &mut files, section, report),
            None => missing(&mut page, section),
        };
    }
    files.insert(PathBuf::from(REPORT), page);
    files
}

fn missing(page: &mut String, section: &Section) -> fmt::Result {
    let Section { title, about, result, .. } = section;
    writeln!(
        page,
        "\n## {title}\n\n{about}\n\n**Not measured yet**: `perf/measure {result}` does, and stores it as `{RESULTS}/{result}.json`."
    )
}

fn measured(page: &mut String, files: &mut Files, section: &Section, report: &Report) -> fmt::Result {
    let Section { title, about, bound, figures, result } = section;
    writeln!(page, "\n## {title}\n\n{about}")?;
    for figure in *figures {
        show(page, files, figure, report)?;
    }
    table_of_checks(page, &report.checks)?;
    skipped(page, report)?;
    if !bound.is_empty() {
        writeln!(page, "\n**What bounds it.** {bound}")?;
    }
    if !report.notes.is_empty() {
        writeln!(page)?;
        report.notes.iter().try_for_each(|note| writeln!(page, "- {note}"))?;
    }
    writeln!(page, "\n{}", source(&report.origin, report.rounds, result))
}

/// One picture, and its numbers as a table for who cannot see it.
fn show(page: &mut String, files: &mut Files, figure: &Figure, report: &Report) -> fmt::Result {
    let Figure { picture, title, shape } = figure;
    let (drawn, table) = match shape {
        Shape::Curves(axis, unit) => drawn(Curves::of(report.series.iter(), *axis, unit), title),
        Shape::Worded(axis, unit, word) => {
            let worded =
                report.series.iter().filter(|series| series.name.split([' ', ',']).any(|found| found == *word));
            drawn(Curves::of(worded, *axis, unit), title)
        }
        Shape::Rows(unit) => {
            let rows = rows(report, unit);
            let table = table_of_rows(&rows);
            (side_by_side(rows.into_iter().filter_map(Bar::of), unit, title), Some(table))
        }
        // Their numbers are in the table of targets.
        Shape::Held(unit) => (side_by_side(held(report, unit), unit, title), None),
        Shape::Ratios => {
            let others = rows(report, "");
            let table = (!others.is_empty()).then(|| table_of_rows(&others));
            (side_by_side(held(report, "").chain(others.into_iter().filter_map(Bar::of)), "", title), table)
        }
    };
    let Some(drawn) = drawn else {
        return writeln!(page, "\n*{title}*: nothing of this could be measured.");
    };
    let path = Path::new(PICTURES).join(picture).with_extension("svg");
    writeln!(page, "\n![{title}]({})", path.display())?;
    files.insert(path, drawn);
    table.map_or(Ok(()), |table| writeln!(page, "\n{table}"))
}

/// The picture of curves and their table, if there are any.
fn drawn(curves: Option<Curves<'_>>, title: &str) -> (Option<String>, Option<String>) {
    curves.map(|curves| (curves.draw(title), table_of_curves(&curves))).unzip()
}

/// What is of no sweep, in this unit.
fn rows<'a>(report: &'a Report, unit: &str) -> Vec<&'a Series> {
    report.series.iter().filter(|series| series.at.is_none() && series.unit == unit).collect()
}

/// What is held to a target, in this unit.
fn held<'a>(report: &'a Report, unit: &str) -> impl Iterator<Item = Bar<'a>> {
    report.checks.iter().filter(move |check| check.series.unit == unit).filter_map(Bar::held)
}

/// Bars, if there are any.
fn side_by_side<'a>(bars: impl Iterator<Item = Bar<'a>>, unit: &str, title: &str) -> Option<String> {
    let bars: Vec<Bar<'a>> = bars.collect();
    (!bars.is_empty()).then(|| bars::draw(&bars, unit, title))
}

fn table_of_curves(curves: &Curves<'_>) -> String {
    let places = curves.places();
    let head: Vec<String> = places.iter().map(|place| tick(*place)).collect();
    let axis = curves.axis;
    let of = if axis.unit().is_empty() { String::new() } else { format!(", {}", axis.unit()) };
    let mut text = format!(
        "| {}, by {}{of} | {} |\n|---|{}",
        curves.unit,
        axis.name(),
        head.join(" | "),
        "---|".repeat(places.len())
    );
    for (name, medians) in curves.rows() {
        let medians = medians.into_iter().map(|median| median.map_or_else(|| "-".to_owned(), figure));
        text.push_str(&format!("\n| {} | {} |", cell(name), medians.collect::<Vec<_>>().join(" | ")));
    }
    text
}

fn table_of_rows(rows: &[&Series]) -> String {
    let mut text = "| | median | lowest | highest |\n|---|---|---|---|".to_owned();
    for series in rows {
        if let (Some(median), Some(low), Some(high)) = (series.median, series.low, series.high) {
            let label = cell(&series.label());
            text.push_str(&format!("\n| {label} | {} | {} | {} |", figure(median), figure(low), figure(high)));
        }
    }
    text
}

fn table_of_checks(page: &mut String, checks: &[Check]) -> fmt::Result {
    if checks.is_empty() {
        return Ok(());
    }
    writeln!(page, "\n| held to a target | median | lowest | highest | target | |\n|---|---|---|---|---|---|")?;
    checks.iter().try_for_each(|check| {
        let Check { series, target, met } = check;
        let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), figure);
        let verdict = match met {
            Some(true) => "met",
            Some(false) => "**missed**",
            None => "not measured",
        };
        let [median, low, high] = [series.median, series.low, series.high].map(number);
        writeln!(page, "| {} | {median} | {low} | {high} | {target} | {verdict} |", cell(&series.label()))
    })
}

/// What was not measured, by its name and with the reason, each reason once.
fn skipped(page: &mut String, report: &Report) -> fmt::Result {
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for series in &report.series {
        let Some(why) = series.skipped.as_deref() else { continue };
        match reasons.iter_mut().find(|(known, _)| *known == why) {
            Some((_, names)) if names.contains(&series.name.as_str()) => {}
            Some((_, names)) => names.push(&series.name),
            None => reasons.push((why, vec![&series.name])),
        }
    }
    if !reasons.is_empty() {
        writeln!(page)?;
    }
    reasons.iter().try_for_each(|(why, names)| writeln!(page, "- Not measured: {}: {why}.", names.join("; ")))
}

/// Where the numbers come from.
fn source(origin: &Origin, rounds: u32, result: &str) -> String {
    let Origin { processor, cores, kernel, load_average, command, commit, build, unix_time } = origin;
    let times = if rounds == 1 { "1 round".to_owned() } else { format!("{rounds} rounds") };
    let warning = if build == "release" {
        String::new()
    } else {
        format!(" **A {build} build, whose figures say nothing of speed.**")
    };
    format!(
        "<sub>[{result}.json]({RESULTS}/{result}.json): `{command}`, {times}, {}, commit {commit}, on {cores} cores of {processor}, Linux {kernel}, \
         load averages at the start {load_average}.</sub>{warning}",
        day(*unix_time)
    )
}

/// A day of the Gregorian calendar (after Hinnant's `civil_from_days`), by the seconds since 1970.
fn day(unix_time: u64) -> String {
    // Days since 1 March of the year 0, so that a leap day ends its year.
    let days = unix_time / 86_400 + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    format!("{:04}-{month:02}-{day:02}", year + era * 400 + next)
}

/// Text that does not end its cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        let days = [0, 951_782_400, 951_868_800, 1_795_271_167, 4_107_542_399].map(day);
        assert_eq!(days, ["1970-01-01", "2000-02-29", "2000-03-01", "2026-11-21", "2100-02-28"]);
    }

    #[test]
    fn a_result_that_is_not_there_is_named_with_what_measures_it() {
        let files = write(&BTreeMap::new());
        let page = &files[Path::new(REPORT)];
        for Section { title, result, .. } in SECTIONS {
            assert!(page.contains(&format!("\n## {title}\n")), "{title}: {page}");
            assert!(page.contains(&format!("`perf/measure {result}` does")), "{result}: {page}");
        }
        assert_eq!(files.len(), 1, "no pictures of nothing");
    }
}
