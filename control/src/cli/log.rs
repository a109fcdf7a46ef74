//! Structured logs of the daemon, on standard error: as text for people, as one JSON object a line for machines.

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// How the daemon logs.
#[derive(clap::Args, Debug)]
pub(super) struct LogArgs {
    /// What to log: a level, or levels by module such as "info,podlane::daemon=debug"
    #[arg(long, env = "PODLANE_LOG", value_name = "FILTER", default_value = "info")]
    log: String,
    /// In which form
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum LogFormat {
    /// Lines for people
    Text,
    /// One JSON object a line
    Json,
}

/// The filter is none.
#[derive(Debug, thiserror::Error)]
#[error(
    "--log \"{filter}\" is no filter: {source} (write a level, or levels by module: \"info,podlane::daemon=debug\")"
)]
pub(super) struct LogError {
    filter: String,
    source: ParseError,
}

impl LogArgs {
    /// Logs from now on, for the rest of the process.
    pub(super) fn start(&self) -> Result<(), LogError> {
        let filter = EnvFilter::try_new(&self.log).map_err(|source| LogError { filter: self.log.clone(), source })?;
        let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
        // A log that nobody reads any more must not end the daemon.
        let builder = builder.log_internal_errors(false);
        match self.log_format {
            LogFormat::Json => builder.json().flatten_event(true).init(),
            LogFormat::Text => builder.with_ansi(crate::paint::wants_colour(&std::io::stderr())).init(),
        }
        Ok(())
    }
}
