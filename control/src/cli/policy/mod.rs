//! What Kubernetes policies decide: of the running switch, or from files, where no daemon is asked.
//!
//! ```text
//! FILE... -> files.rs -> podlane_policy::yaml -> Cluster -> Compiler -> why.rs, told::change --> show
//! socket --> the daemon's answer ---------------------------------------------------------------^
//! ```
//!
//! Exit statuses are those of grep and diff, so that a script can hold a set of policies to what it should do: 1 is an answer, and
//! whatever keeps a question from being answered is 2, a full disk under the output too. Warnings go to standard error, so that
//! standard output is the answer alone.

mod enforced;
mod files;
mod shadow;
mod why;

use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use podlane_api::{Client, ClientError, DeniedQuery, PolicyFinding, WhyQuery};
use podlane_policy::yaml::{Documents, Refused, Warning, unmatched};
use podlane_policy::{Cluster, Compiler};
use serde::Serialize;

use super::args::{Ask, PolicyVerb, Question, State};
use super::connect;
use super::show::Show;
use crate::paint::Paint;
use crate::told::change::{Room, Trial};
use crate::told::question::Unmeant;
use crate::units;

/// The answer that is not what one hopes for: denied, or changed.
const NOT_SO: u8 = 1;

/// There is no answer.
const UNTOLD: u8 = 2;

/// How long the daemon may take to try a candidate: at 10,000 pods and policies that is a matter of seconds.
const TRIAL: Duration = Duration::from_secs(60);

/// Why a question about policies cannot be answered.
#[derive(Debug, thiserror::Error)]
pub(super) enum PolicyError {
    #[error("{}: cannot be read: {source} (name a YAML file this user may read)", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{}: is longer than {} bytes (split it: several files may be named)", path.display(), files::MOST_BYTES)]
    TooLong { path: PathBuf },
    #[error("standard input is named twice and can be read once (name one of them as a file)")]
    StdinTwice,
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("{}: has no policies (name a file with those to be tried)", path.display())]
    NoPolicies { path: PathBuf },
    #[error(transparent)]
    Unmeant(#[from] Unmeant),
    #[error("no pod of the files has address {to}, so there is no node to open from (name a pod)")]
    NoNode { to: IpAddr },
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("cannot listen for Ctrl-C: {0} (check the limits of this process)")]
    Signals(#[source] io::Error),
    #[error("cannot write to standard output: {0} (check where it goes)")]
    Output(#[source] io::Error),
}

/// Answers one question.
pub(super) fn perform(verb: PolicyVerb) -> Result<ExitCode, PolicyError> {
    match verb {
        PolicyVerb::Check { files } => check(&files::read(&files)?),
        PolicyVerb::Apply { files, no_wait, ask } => enforced::apply(&files, !no_wait, &ask),
        PolicyVerb::Delete { files, no_wait, ask } => enforced::delete(&files, !no_wait, &ask),
        PolicyVerb::List { ask } => enforced::list(&ask),
        PolicyVerb::Why { question, state: State { files, ask } } if files.is_empty() => why(&question, &ask),
        PolicyVerb::Why { question, state: State { files, ask } } => {
            let documents = files::read(&files)?;
            warn_of_namespaces(&documents.cluster);
            let answer = why::answer(documents.cluster, &question)?;
            tell(&answer, ask.json)?;
            Ok(status(answer.allowed))
        }
        PolicyVerb::Test { candidate, state: State { files, ask } } if files.is_empty() => test_live(&candidate, &ask),
        PolicyVerb::Test { candidate, state: State { files, ask } } => test(&candidate, &files, ask.json),
        PolicyVerb::Shadow { candidate, seconds, ask } => shadow::judge(&candidate, seconds, &ask),
        PolicyVerb::Denied { ask, limit } => {
            tell(&connect(&ask)?.denied(DeniedQuery { limit: limit.into() })?, ask.json)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Asks the daemon why a connection comes through or not.
pub(super) fn why(question: &Question, ask: &Ask) -> Result<ExitCode, PolicyError> {
    let Question { from, to, service } = question;
    let query = WhyQuery { from: from.to_string(), to: to.to_string(), service: service.to_string() };
    let answer = connect(ask)?.why(query)?;
    tell(&answer, ask.json)?;
    Ok(status(answer.allowed))
}

fn check(documents: &Documents) -> Result<ExitCode, PolicyError> {
    let Documents { cluster, sources, warnings, others, .. } = documents;
    let mut warnings = warnings.clone();
    // Without pods every selector matches nothing, and to say so of each would hide what is wrong.
    if !cluster.pods.is_empty() {
        warnings.extend(unmatched(cluster, sources));
        warn_of_namespaces(cluster);
    }
    warn(&warnings);
    let Cluster { namespaces, pods, policies } = cluster;
    let (policies, doubts) = (("policy", policies.len()), ("warning", warnings.len()));
    let numbers = [("namespace", namespaces.len()), ("pod", pods.len()), policies, doubts];
    let [namespaces, pods, policies, doubts] = numbers.map(|(noun, number)| units::some(number, noun));
    let mut said = format!("good: {namespaces}, {pods}, {policies}; {doubts}\n");
    if *others > 0 {
        said += &format!("{} of other kinds left out\n", units::some(*others, "object"));
    }
    if cluster.pods.is_empty() {
        said += "without pods, whether selectors match was not looked at\n";
    }
    write_out(&said)?;
    Ok(ExitCode::SUCCESS)
}

/// Tries a candidate in the cluster of these files.
fn test(candidate: &Path, files: &[PathBuf], json: bool) -> Result<ExitCode, PolicyError> {
    files::stdin_once(files.iter().map(PathBuf::as_path).chain([candidate]))?;
    let current = files::read(files)?.cluster;
    let files::Tried { documents, .. } = files::candidate(candidate)?;
    warn_of_namespaces(&current);
    let Documents { cluster: tried, sources, mut warnings, .. } = documents;
    let Cluster { namespaces, pods, .. } = &current;
    let whom = Cluster { namespaces: namespaces.clone(), pods: pods.clone(), policies: tried.policies.clone() };
    warnings.extend(unmatched(&whom, &sources));
    warn(&warnings);
    let before = Compiler::of(current.clone()).compile();
    let change = Trial::of(current, tried.policies).change(&before, Room::ALL);
    tell(&change, json)?;
    Ok(status(Some(!change.changed)))
}

/// Tries a candidate against the pods of the daemon.
fn test_live(candidate: &Path, ask: &Ask) -> Result<ExitCode, PolicyError> {
    let files::Tried { documents, manifest } = files::candidate(candidate)?;
    warn(&documents.warnings);
    let change = connect_patiently(ask)?.test_policy(manifest)?;
    warn_of(&change.warnings);
    tell(&change, ask.json)?;
    Ok(status(Some(!change.changed)))
}

/// A change or a candidate may be large: it is compiled with the whole cluster, and a candidate compared with it class by class.
fn connect_patiently(ask: &Ask) -> Result<Client, ClientError> {
    Client::connect(&ask.socket, TRIAL)
}

/// Pods in a namespace that no file has: a selector of namespaces would quietly miss them.
fn warn_of_namespaces(cluster: &Cluster) {
    let known: BTreeSet<&str> = cluster.namespaces.iter().map(|namespace| namespace.name.as_str()).collect();
    let used: BTreeSet<&str> = cluster.pods.iter().map(|pod| pod.name.namespace.as_str()).collect();
    for name in used.difference(&known) {
        say(&format!(
            "podlane: warning: namespace {name} is in no file and taken to have no label but its name (add the namespaces)"
        ));
    }
}

fn warn(warnings: &[Warning]) {
    for Warning { file, line, object, doubt } in warnings {
        say(&format!("{file}:{line}: warning: {object}: {doubt}"));
    }
}

/// Warns of what the daemon found.
fn warn_of(findings: &[PolicyFinding]) {
    for PolicyFinding { file, line, object, what } in findings {
        say(&format!("{file}:{line}: warning: {object}: {what}"));
    }
}

fn say(line: &str) {
    // Nothing is left to tell it to when standard error is gone, too.
    let _ = writeln!(io::stderr(), "{line}");
}

/// The status for an answer that is as one hopes, or not, or none.
fn status(as_hoped: Option<bool>) -> ExitCode {
    match as_hoped {
        Some(true) => ExitCode::SUCCESS,
        Some(false) => ExitCode::from(NOT_SO),
        None => ExitCode::from(UNTOLD),
    }
}

/// Prints an answer: the very object for programs, else for people.
fn tell(answer: &(impl Show + Serialize), json: bool) -> Result<(), PolicyError> {
    if !json {
        return write_out(&answer.show(Paint::of(&io::stdout())));
    }
    let text = serde_json::to_string(answer).map_err(|error| PolicyError::Output(error.into()))?;
    write_out(&(text + "\n"))
}

/// Who closes the pipe, as head does, has read enough, and the status is the answer still.
fn write_out(text: &str) -> Result<(), PolicyError> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(PolicyError::Output(error)),
        _ => Ok(()),
    }
}
