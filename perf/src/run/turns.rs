//! Rows in turns: each is measured once a round, so that a machine that is slow for a while is slow for all of them.

use crate::{
    bed::Bed,
    load::{LoadError, flood::Flood},
    run::{RunError, Terms},
    series::Series,
    subject::Row,
};

/// Measures each row once a round. A subject that is absent, cannot be had here or forwards nothing is skipped, by name.
///
/// # Errors
/// [`RunError`], if it is the bed, the load or a subject of our own that failed.
pub(super) fn in_turns(rows: &[Row], terms: &Terms<'_>) -> Result<Vec<Series>, RunError> {
    let mut outcomes: Vec<Result<Vec<f64>, String>> = rows.iter().map(|_| Ok(Vec::new())).collect();
    for round in 1..=terms.rounds {
        for (row, outcome) in rows.iter().zip(&mut outcomes) {
            let Ok(samples) = outcome else { continue };
            (terms.progress)(&format!("round {round} of {}: {}", terms.rounds, row.name));
            match measure(row, terms) {
                Ok(rate) => samples.push(rate),
                Err(RunError::Load(error @ (LoadError::Silent { .. } | LoadError::Unanswered { .. }))) => {
                    *outcome = Err(error.to_string());
                }
                Err(RunError::Subject { source, .. }) if source.is_a_reason_to_skip() => {
                    *outcome = Err(source.to_string());
                }
                Err(error) => return Err(error),
            }
        }
    }
    let series = rows.iter().zip(outcomes).map(|(row, outcome)| match outcome {
        Ok(samples) => Series::new(row.name, "Mpps", samples),
        Err(why) => Series::skipped(row.name, "Mpps", why),
    });
    Ok(series.collect())
}

/// Millions of packets a second through one row's subject, on a bed of its own: a program that was killed may have left something on
/// its links, and a queue that was just closed is busy for a while.
fn measure(row: &Row, terms: &Terms<'_>) -> Result<f64, RunError> {
    let failed = |source| RunError::Subject { name: row.name, source };
    let bed = &Bed::lay()?;
    let running = row.subject.start(bed, row.traffic).map_err(failed)?;
    let flood = Flood {
        bed,
        traffic: row.traffic,
        length: terms.length,
        patience: row.subject.patience(),
        taken: running.taken(),
        arriving: row.arriving,
        stop: terms.stop,
    };
    let sample = flood.run()?;
    running.stop().map_err(failed)?;
    Ok(sample.rate() / 1e6)
}
