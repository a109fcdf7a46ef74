//! The ground the demo stands on: namespaces without names, and a veth for each pod.
//!
//! The calling thread moves into the switch's namespace and never touches the host's network again.
//! Nothing here has to be cleared away: the kernel removes namespaces and links with the last
//! descriptor and the last thread, which covers a panic and a SIGKILL too. Only names, given on request
//! for the sake of `ip netns exec`, are taken away by [`Pins`].

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io, process};

use podlane_host::lab::{self, Lab, PodSpec};
use podlane_host::{HostError, Netns, NetnsError, Pinned};
use thiserror::Error;

use super::cores::Cores;
use super::pods::{Family, MTU, Network, Pod};
use super::traffic::Place;

/// Three pods, connected to the namespace the calling thread is in.
pub(crate) struct Ground {
    /// Holds the switch's namespace, and so the host ends of the veths.
    _lab: Lab,
    pods: Vec<(Pod, lab::Pod, Arc<Netns>)>,
}

impl Ground {
    /// Makes the pods, and moves the calling thread to the switch's ends of their links.
    pub(crate) fn lay() -> Result<Self, HostError> {
        let mut lab = Lab::new()?;
        lab.switch().enter()?;
        let pods = Pod::ALL.into_iter().map(|pod| {
            let made = lab.pod(&specification(pod))?;
            let namespace = Arc::new(made.netns.try_clone()?);
            Ok((pod, made, namespace))
        });
        let pods = pods.collect::<Result<_, HostError>>()?;
        Ok(Self { _lab: lab, pods })
    }

    /// Where the load of a pod runs.
    pub(crate) fn place(&self, pod: Pod, cores: &Cores) -> Place {
        // the pods were made in the order of Pod::ALL, which is that of the enum
        let at = pod as usize;
        Place { namespace: Arc::clone(&self.pods[at].2), core: Some(cores.of_pod(at)) }
    }

    /// Names the pods' namespaces, until the names are dropped.
    pub(crate) fn pin(&self) -> Result<Pins, NetnsError> {
        let pin = |(pod, made, _): &(Pod, lab::Pod, _)| {
            let name = format!("podlane-{}-{}", process::id(), pod.name());
            Ok((*pod, made.netns.pin(&name)?, name))
        };
        Ok(Pins { pins: self.pods.iter().map(pin).collect::<Result<_, NetnsError>>()? })
    }
}

fn specification(pod: Pod) -> PodSpec {
    let v4 = |address| match address {
        IpAddr::V4(v4) => Some(v4),
        IpAddr::V6(_) => None,
    };
    let v6 = |address| match address {
        IpAddr::V6(v6) => Some(v6),
        IpAddr::V4(_) => None,
    };
    PodSpec {
        ipv4: v4(pod.address(Family::V4)).map(|own| (own, Network::prefix_length(Family::V4))),
        ipv6: v6(pod.address(Family::V6)).map(|own| (own, Network::prefix_length(Family::V6))),
        gateway_v4: v4(pod.network().gateway(Family::V4)),
        gateway_v6: v6(pod.network().gateway(Family::V6)),
        mtu: MTU,
        mac: Some(pod.mac()),
        ..PodSpec::named(pod.device())
    }
}

/// Names of the pods' namespaces. Dropping them takes the names away.
pub(crate) struct Pins {
    pins: Vec<(Pod, Pinned, String)>,
}

impl Pins {
    /// The name of a pod's namespace, as `ip netns exec` takes it.
    pub(crate) fn name(&self, pod: Pod) -> &str {
        self.pins.iter().find(|(is, ..)| *is == pod).map_or("", |(.., name)| name)
    }

    /// Takes the names away, all of them, and tells of the first that would not go.
    pub(crate) fn remove(self) -> Result<(), NetnsError> {
        let removed: Vec<_> = self.pins.into_iter().map(|(_, pin, _)| pin.remove()).collect();
        removed.into_iter().collect()
    }
}

/// Why there could be no folder for the switch's socket.
#[derive(Debug, Error)]
#[error("cannot make the folder {}: {source}; remove it if it is left over from a demo that was killed", .path.display())]
pub(crate) struct FolderError {
    path: PathBuf,
    source: io::Error,
}

/// A folder of this process alone, for the switch's socket. Dropping it removes it and what is in it.
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// Makes the folder below /run, where root's sockets live.
    pub(crate) fn make() -> Result<Self, FolderError> {
        let path = PathBuf::from(format!("/run/podlane-demo-{}", process::id()));
        match fs::create_dir(&path) {
            Ok(()) => Ok(Self(path)),
            Err(source) => Err(FolderError { path, source }),
        }
    }

    /// Where the switch shall answer.
    pub(crate) fn socket(&self) -> PathBuf {
        self.0.join("podlane.sock")
    }

    /// Where one switch of several shall answer.
    pub(crate) fn socket_of(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.sock"))
    }

    /// The folder itself.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder that cannot be removed holds nothing but a dead socket, and nobody is left to tell.
        let _ = fs::remove_dir_all(self.path());
    }
}
