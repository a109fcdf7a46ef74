//! What Kubernetes policies would decide, told from files: no daemon is asked and nothing is applied.
//!
//! ```text
//! FILE... -> files.rs -> podlane_policy::yaml -> Cluster -> Compiler -> explain: why.rs
//!                                                                  \-> diff:    change.rs
//! ```
//!
//! Exit statuses are those of grep and diff, so that a script can hold a set of policies to what it should do: 1 is an answer, and
//! whatever keeps a question from being answered is 2, a full disk under the output too. Warnings go to standard error, so that
//! standard output is the answer alone.

mod change;
mod files;
mod party;
mod why;

use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use podlane_policy::Cluster;
use podlane_policy::model::PodName;
use podlane_policy::yaml::{Documents, Refused, Warning, unmatched};
use serde::Serialize;

pub(super) use party::{Opener, Party, Service};

use super::args::{PolicyVerb, Stated};
use crate::units;

/// The answer that is not what one hopes for: denied, or changed.
const NOT_SO: u8 = 1;

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
    #[error("no pod is named {pod} ({})", guess(near.as_ref(), *known))]
    NoSuchPod { pod: PodName, near: Option<PodName>, known: usize },
    #[error("pod {pod} has no address yet (wait until it has, and print the pods again)")]
    NoAddress { pod: PodName },
    #[error("{from} and {to} have no addresses of one family (ask about two of IPv4, or two of IPv6)")]
    NoFamily { from: String, to: String },
    #[error("no pod of the files has address {to}, so there is no node to open from (name a pod)")]
    NoNode { to: IpAddr },
    #[error("cannot write to standard output: {0} (check where it goes)")]
    Output(#[source] io::Error),
}

fn guess(near: Option<&PodName>, known: usize) -> String {
    let otherwise = || format!("the files have {known} pods: if it is new, print them again");
    near.map_or_else(otherwise, |near| format!("did you mean {near}?"))
}

/// Answers one question.
pub(super) fn perform(verb: PolicyVerb) -> Result<ExitCode, PolicyError> {
    match verb {
        PolicyVerb::Check { files } => check(&files::read(&files)?),
        PolicyVerb::Why { from, to, service, state: Stated { files, json } } => {
            let documents = files::read(&files)?;
            warn_of_namespaces(&documents.cluster);
            let answer = why::Answer::new(documents.cluster, &why::Asked { from, to, service })?;
            tell(&answer, &answer.json(), json)?;
            Ok(status(answer.allow()))
        }
        PolicyVerb::Test { candidate, state: Stated { files, json } } => test(&candidate, &files, json),
    }
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
    let numbers = [("namespace", namespaces.len()), ("pod", pods.len()), ("warning", warnings.len())];
    let [namespaces, pods, doubts] = numbers.map(|(noun, number)| units::some(number, noun));
    let policies = if policies.len() == 1 { "1 policy".to_owned() } else { format!("{} policies", policies.len()) };
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

fn test(candidate: &PathBuf, files: &[PathBuf], json: bool) -> Result<ExitCode, PolicyError> {
    files::stdin_once(files.iter().chain([candidate]))?;
    let current = files::read(files)?.cluster;
    let Documents { cluster: tried, sources, mut warnings, .. } = files::read(std::slice::from_ref(candidate))?;
    if tried.policies.is_empty() {
        return Err(PolicyError::NoPolicies { path: files::name(candidate).into() });
    }
    warn_of_namespaces(&current);
    if !(tried.pods.is_empty() && tried.namespaces.is_empty()) {
        let name = files::name(candidate);
        say(&format!("{name}: warning: its pods and namespaces are left out (--cluster states them)"));
    }
    let Cluster { namespaces, pods, .. } = &current;
    let whom = Cluster { namespaces: namespaces.clone(), pods: pods.clone(), policies: tried.policies.clone() };
    warnings.extend(unmatched(&whom, &sources));
    warn(&warnings);
    let change = change::Change::new(current, tried.policies);
    tell(&change, &change.json(), json)?;
    Ok(status(change.differences.is_empty()))
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

fn say(line: &str) {
    // Nothing is left to tell it to when standard error is gone, too.
    let _ = writeln!(io::stderr(), "{line}");
}

fn status(as_hoped: bool) -> ExitCode {
    if as_hoped { ExitCode::SUCCESS } else { ExitCode::from(NOT_SO) }
}

fn tell(people: &impl ToString, programs: &impl Serialize, json: bool) -> Result<(), PolicyError> {
    if !json {
        return write_out(&people.to_string());
    }
    let text = serde_json::to_string(programs).map_err(|error| PolicyError::Output(error.into()))?;
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
