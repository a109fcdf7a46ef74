//! Why policies are not enforced as they were given, and what of them is probably not meant.

use std::fmt;
use std::path::PathBuf;

use podlane_policy::model::PodName;
use podlane_policy::yaml::{Refused, Source, Warning};
use thiserror::Error;

use crate::desired::Name;

/// The policy cannot be enforced, or a change of it: what was in force still is.
#[derive(Debug, Error)]
pub enum EnforceError {
    /// A file or directory of the configuration cannot be read.
    #[error("{}: cannot be read: {source} (name YAML files, or directories of them, in \"files\" under [policy])", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// A file does not end where one would.
    #[error("{}: is too long (split it: several files may be named)", path.display())]
    TooLong {
        /// Which.
        path: PathBuf,
    },
    /// What was read is wrong in itself.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// What was read does not fit what is there.
    #[error("{}", lines(.0))]
    Unfit(Vec<Unfit>),
    /// It is taken, and not in force within the time that a worker may take.
    #[error("the change is taken, and not in force in every worker yet (`podlane status` says which does not answer)")]
    Late,
    /// There is no thread to publish from.
    #[error("cannot start the thread that publishes policies: {0}; raise the limit on threads (ulimit -u)")]
    Thread(#[source] std::io::Error),
    /// The workers do not answer at the start.
    #[error(transparent)]
    Silent(#[from] crate::reconcile::Silent),
}

impl EnforceError {
    /// How many mistakes in files it tells, each on a line of its own.
    #[must_use]
    pub fn mistakes(&self) -> usize {
        match self {
            Self::Refused(Refused(findings)) => findings.len(),
            Self::Unfit(unfit) => unfit.len(),
            _ => 0,
        }
    }

    /// Whether the files are to blame, and nothing was tried.
    #[must_use]
    pub fn is_of_files(&self) -> bool {
        self.mistakes() > 0 || matches!(self, Self::Unreadable { .. } | Self::TooLong { .. })
    }
}

fn lines(unfit: &[Unfit]) -> String {
    unfit.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// An object that does not fit what is there. Displayed `FILE:LINE: OBJECT: what (remedy)`, as mistakes in YAML are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unfit {
    /// Where it stands.
    pub source: Source,
    /// The object, as `Kind namespace/name`.
    pub object: String,
    /// What is against it.
    pub misfit: Misfit,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source: Source { file, line }, object, misfit } = self;
        write!(f, "{file}:{line}: {object}: {misfit}")
    }
}

/// What is against an object. Each sentence ends with a remedy.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[expect(missing_docs, reason = "the sentence beside each variant says what it and its fields are")]
pub enum Misfit {
    #[error(
        "its labels are not those that port \"{port}\" states (remove \"labels\" and \"ports\" from the port, or mend them)"
    )]
    OtherLabels { port: Name },
    #[error(
        "its named ports are not those that port \"{port}\" states (remove \"labels\" and \"ports\" from the port, or mend them)"
    )]
    OtherPorts { port: Name },
    #[error("its addresses {} are not those of port \"{port}\", {} (mend podIPs, or the port)", list(.given), list(.stated))]
    OtherAddresses { port: Name, given: Vec<std::net::IpAddr>, stated: Vec<std::net::IpAddr> },
    #[error("it is on its node's network, and port \"{port}\" is said to be its own (remove \"pod\" from the port)")]
    HostNetwork { port: Name },
    #[error("its address {address} is pod {pod}'s (delete that one first)")]
    AddressTaken { address: std::net::IpAddr, pod: PodName },
    #[error(
        "its address {address} is stated by port \"{port}\", for pod {pod} (mend podIPs, or \"addresses\" of the port)"
    )]
    AddressOfPort { address: std::net::IpAddr, port: Name, pod: PodName },
    #[error("it is not there (`podlane policy list` has the policies there are)")]
    Absent,
    #[error(
        "port \"{port}\" states it, so it stays as long as the daemon runs (remove \"labels\" and \"ports\" from the port and restart the daemon)"
    )]
    OfThePort { port: Name },
}

fn list(addresses: &[std::net::IpAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// What is allowed and probably not meant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Doubt {
    /// Of an object.
    Object(Warning),
    /// A pod behind a port that nobody describes.
    UnknownPod {
        /// The pod.
        pod: PodName,
        /// The port.
        port: Name,
    },
    /// A pod behind a port without any address that rules could know it by.
    NoAddress {
        /// The pod.
        pod: PodName,
        /// The port.
        port: Name,
    },
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object(warning) => warning.fmt(f),
            Self::UnknownPod { pod, port } => write!(
                f,
                "port \"{port}\": nothing is known of pod {pod}, so that it is closed (give the port the pod's \"labels\", or apply the Pod)"
            ),
            Self::NoAddress { pod, port } => write!(
                f,
                "port \"{port}\": no address of pod {pod} is known, so that rules of others do not find it (state the port's \"addresses\")"
            ),
        }
    }
}
