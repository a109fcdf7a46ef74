//! Following the world: devices that go, are renamed, replaced or changed, ports that die, and addresses that the host gets or loses.

use std::sync::Arc;
use std::time::Instant;

use podlane_api::PortState;
use podlane_dataplane::PortId;
use podlane_dataplane::port::PortError;
use podlane_dataplane::port::af_xdp::Device;
use podlane_dataplane::worker::command::Event;
use podlane_wire::MacAddr;

use super::board::Fate;
use super::close::Leave;
use super::open::{OpenDevice, spans_frames};
use super::pass::{RETRY, Reconciler, Retry, Up};
use super::underlay::{self, Claimed};
use super::world::{Missing, News};
use crate::desired::{Behind, Name, Port};

impl Reconciler {
    /// Follows the devices of the ports that are up, as far as there is news of them: one that is gone, renamed or another takes its port
    /// down; a new MTU is taken over.
    pub(super) fn follow(&mut self, news: &News) -> bool {
        let mut changed = false;
        for name in self.spoken_of(news) {
            let Some(Up { device: Some(open), fate, attached, .. }) = self.up.get(&name) else { continue };
            let Some(Behind::Device(device)) = self.desired.ports.get(&name).map(|port| &port.behind) else {
                continue;
            };
            let (mtu, mac) = match self.world.find(device) {
                Ok(found) if found.spot == open.spot => (found.link.mtu, MacAddr(found.link.mac.unwrap_or_default())),
                // Another device has the name now: it is attached as soon as this one is left.
                Ok(_) => {
                    self.take_away(&name, Device::close);
                    changed = true;
                    continue;
                }
                Err(Missing::Unreadable(_)) => continue,
                Err(missing) => {
                    tracing::warn!(port = %name, "{missing}");
                    self.take_away(&name, Device::close);
                    self.tell(&name, Fate::not_up(PortState::Gone, missing.to_string()));
                    changed = true;
                    continue;
                }
            };
            // Only an uplink's is of interest: it is in the outer headers.
            if open.claimed.is_some() && attached.mac != mac {
                tracing::info!(port = %name, %mac, "MAC address changed");
                if let Some(up) = self.up.get_mut(&name) {
                    up.attached.mac = mac;
                }
                changed = true;
            } else if fate.mtu != Some(mtu) {
                let reopen = spans_frames(mtu, self.desired.workers.frame_bytes) && !open.spans_frames;
                self.take_mtu(&name, mtu, reopen);
                changed = true;
            }
        }
        changed
    }

    /// The ports that there is news of.
    fn spoken_of(&self, news: &News) -> Vec<Name> {
        let is_of = |port: &&Arc<Port>| matches!(&port.behind, Behind::Device(device) if news.is_of(device));
        self.desired.ports.values().filter(is_of).map(|port| port.name.clone()).collect()
    }

    /// Looks which of our addresses are the host's too: VTEPs, and those of pods that share an uplink's MAC address.
    pub(super) fn follow_hosts(&mut self) -> bool {
        let hosts = underlay::hosts(&self.desired, &mut self.world);
        let changed = hosts != self.hosts;
        if changed {
            tracing::info!(shared = ?hosts, "addresses of ours that the host has too");
            self.warn("addresses of the host", underlay::tell_taken(&self.desired, &hosts));
        }
        self.hosts = hosts;
        changed
    }

    /// Has every uplink claim what is ours by now.
    pub(super) fn reclaim(&mut self) {
        for (name, up) in &mut self.up {
            let Some(OpenDevice { half, claimed: Some(claimed), .. }) = &mut up.device else { continue };
            let wanted = Claimed::of(&self.desired, name, up.attached.mac, &self.hosts);
            if *claimed == wanted {
                continue;
            }
            let subject = format!("claims of port {name}");
            match half.claim(&wanted.claim()) {
                Ok(()) => {
                    *claimed = wanted;
                    self.board.warn(&subject, None);
                }
                // Tried again in the next pass.
                Err(error) => {
                    tracing::error!(port = %name, %error, "claim not changed");
                    self.board.warn(&subject, Some(format!("port {name} does not receive all it should: {error}")));
                }
            }
        }
    }

    /// Takes over a device's new MTU. Sockets that cannot carry it are closed, and then opened anew.
    fn take_mtu(&mut self, name: &Name, mtu: u32, reopen: bool) {
        tracing::info!(port = %name, mtu, reopen, "MTU changed");
        if reopen {
            return self.take_away(name, Device::give_up);
        }
        if let Some(up) = self.up.get_mut(name) {
            up.attached.mtu = u16::try_from(mtu).unwrap_or(u16::MAX);
            up.fate.mtu = Some(mtu);
            up.told = false;
        }
    }

    pub(super) fn heed(&mut self, event: Event) -> bool {
        match event {
            Event::PortDied { port, error, .. } => {
                let Some(name) = self.numbers.port_name(port).cloned() else { return false };
                // Each of its workers tells of it.
                if !self.up.contains_key(&name) {
                    return false;
                }
                tracing::warn!(port = %name, %error, "port died");
                let gone = matches!(error, PortError::Gone { .. });
                self.take_away(&name, if gone { Device::close } else { Device::give_up });
                let state = if gone { PortState::Gone } else { PortState::Failed };
                self.tell(&name, Fate::not_up(state, error.to_string()));
                let again = match error {
                    // Its input would be played, and its output overwritten, a second time.
                    PortError::Capture { .. } => Retry::Never,
                    PortError::Gone { .. } => Retry::NotBefore(Instant::now()),
                    _ => Retry::NotBefore(Instant::now() + RETRY),
                };
                self.retry.insert(name, again);
                true
            }
            Event::Unpinned { worker, core } => {
                let what = format!(
                    "worker {worker} could not be pinned to core {core}; see what holds it off (cpuset, taskset)"
                );
                tracing::warn!("{what}");
                self.board.warn(&format!("core of worker {worker}"), Some(what));
                false
            }
            Event::WorkerEnded { worker } => {
                let what =
                    format!("worker {worker} ended by a defect; restart the daemon and report what the log says");
                tracing::error!("{what}");
                self.board.write(|facts| facts.fatal = Some(what));
                // The daemon's main thread waits for signals; without this worker it should not go on.
                if let Err(error) = signal_hook::low_level::raise(signal_hook::consts::SIGTERM) {
                    tracing::error!(%error, "the daemon cannot end itself");
                }
                false
            }
        }
    }

    /// Takes a port from the workers, and has it closed in the background.
    pub(super) fn take_away(&mut self, name: &Name, leave: Leave) {
        let Some(up) = self.up.remove(name) else { return };
        let number = self.numbers.port(name);
        self.close((name.clone(), None), self.taken(number, up), leave);
        self.unhear(number);
    }

    /// Its workers have let go of a port, so all they had to say of its end has been said. It must not reach the port that comes after
    /// it under the same number.
    pub(super) fn unhear(&mut self, gone: PortId) {
        self.set_aside.extend(self.happened.try_iter());
        self.set_aside.retain(|event| !matches!(event, &Event::PortDied { port, .. } if port == gone));
    }
}
