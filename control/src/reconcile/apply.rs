//! Changes put in force: everything that was asked for by now, in one publication.
//!
//! ```text
//! births:   numbered -> its pod in the policy -> in the tables -> ends to the workers -> answered
//! addresses that came later: its pod in the policy -> in the tables -> answered
//! removals: out of the tables -> ends back from the workers -> answered -> closed in the background -> number rests
//! ```
//!
//! Each publication costs every flow a miss, so what comes while one is under way goes with the next: a storm of births is a few of
//! them, and a birth on an idle switch waits for nobody. What a policy does not know yet is in no table, and what is in no table is
//! closed.

use std::sync::Arc;

use podlane_dataplane::PortId;
use podlane_dataplane::ids::MAX_PORTS;
use podlane_dataplane::port::af_xdp::Device;

use super::change::{ChangeError, fits, fits_beside, is_idle, unknown};
use super::close::{Closing, Freed, abandon};
use super::pass::{Reconciler, Up};
use super::plan::Plan;
use super::publish::{Due, Unpublished};
use super::requests::{Back, Birth, Request};
use crate::compile::Numbers;
use crate::desired::{Behind, Desired, Name, Port};

/// A port or network that is out of the desires and may still be in a worker.
pub(super) enum Leaving {
    Port { name: Name, number: PortId, up: Option<Box<Up>> },
    Network(podlane_dataplane::NetworkId, Option<podlane_dataplane::VrfId>),
}

/// One publication's worth of changes.
pub(super) struct Batch {
    pub(super) desired: Desired,
    pub(super) numbers: Numbers,
    pub(super) waiting: Waiting,
    /// Whether there is a pod among what is born that policies are about.
    houses: bool,
}

/// Who waits for what.
#[derive(Default)]
pub(super) struct Waiting {
    /// What is new, to be taken out again if it does not come in force.
    born: Vec<(Arc<Port>, Back)>,
    /// What was stated anew, as it was before.
    pub(super) restated: Vec<(Arc<Port>, Back)>,
    made: Vec<(Name, Back)>,
    gone: Vec<(Name, Back)>,
}

impl Reconciler {
    /// Puts in force what was asked for. What comes meanwhile goes with the next.
    pub(super) fn change(&mut self) {
        let requests: Vec<Request> = self.asked.try_iter().collect();
        if requests.is_empty() {
            return;
        }
        let mut batch = self.batch();
        for request in requests {
            let (back, refused) = match request {
                Request::AddPort(birth, back) => (back.clone(), self.bear(*birth, back, &mut batch)),
                Request::StateAddresses(name, addresses, back) => {
                    (back.clone(), self.restate((name, addresses), back, &mut batch))
                }
                Request::RemovePort(name, back) => (back.clone(), self.dismiss(name, back, &mut batch)),
                Request::AddNetwork(network, back) => {
                    self.due = Due::All;
                    (back.clone(), make(*network, back, &mut batch))
                }
                Request::RemoveNetwork(name, back) => (back.clone(), self.unmake(name, back, &mut batch)),
            };
            if let Err(error) = refused {
                answer(&back, Err(error));
            }
        }
        self.put_forward(batch);
    }

    /// The end: what is asked now is not done, and what was opened for it is closed.
    pub(super) fn refuse_all(&mut self) {
        for request in self.asked.try_iter() {
            let back = match request {
                Request::AddPort(birth, back) => {
                    abandon(&self.workers, &birth.port.name, birth.opened);
                    back
                }
                Request::StateAddresses(_, _, back)
                | Request::RemovePort(_, back)
                | Request::AddNetwork(_, back)
                | Request::RemoveNetwork(_, back) => back,
            };
            answer(&back, Err(ChangeError::Ending));
        }
    }

    /// From what is desired now, with the numbers of what is closed by now.
    fn batch(&self) -> Batch {
        let (desired, mut numbers) = ((*self.desired).clone(), (*self.numbers).clone());
        let Freed { ports, networks } = self.closer.freed();
        ports.into_iter().for_each(|id| numbers.free_port(id));
        networks.into_iter().for_each(|freed| numbers.free_network(freed));
        Batch { desired, numbers, waiting: Waiting::default(), houses: false }
    }

    /// Takes a port that is open into a batch; one that does not fit is closed.
    fn bear(&mut self, birth: Birth, back: Back, batch: &mut Batch) -> Result<(), ChangeError> {
        let Birth { port, opened } = birth;
        match self.number(&port, &opened, batch) {
            Ok(()) => {
                let name = port.name.clone();
                tracing::info!(port = %name, mtu = opened.attached.mtu, "port added");
                batch.desired.ports.insert(name.clone(), Arc::clone(&port));
                self.up.insert(name.clone(), Up::of(opened));
                self.due.note((batch.numbers.port(&name), Arc::clone(&port)));
                self.been_up.insert(name);
                batch.waiting.born.push((port, back));
                Ok(())
            }
            Err(error) => {
                self.close((port.name.clone(), None), Up::of(opened), Device::close);
                Err(error)
            }
        }
    }

    /// Gives a port its number and its pod's place, if it fits and its device is still the one that was opened.
    fn number(&mut self, port: &Port, opened: &super::open::Opened, batch: &mut Batch) -> Result<(), ChangeError> {
        fits(port, &batch.desired)?;
        if let (Behind::Device(device), Some(open)) = (&port.behind, &opened.device) {
            self.world.follow(device);
            match self.world.find(device) {
                Ok(found) if found.spot == open.spot => {}
                Ok(_) => {
                    return Err(ChangeError::open(
                        &port.name,
                        super::open::OpenError::Replaced { device: device.name.to_string() },
                    ));
                }
                Err(missing) => return Err(ChangeError::open(&port.name, missing.into())),
            }
        }
        let full = ChangeError::Full { what: "port", most: MAX_PORTS - 1 };
        let (id, was_anothers) = batch.numbers.add_port(&port.name).ok_or(full)?;
        if was_anothers {
            self.workers.retire(id).map_err(|silent| Unpublished::from(silent).told())?;
        }
        if let Err(error) = self.house(id, port, batch) {
            batch.numbers.release_port(&port.name);
            batch.numbers.free_port(id);
            return Err(error);
        }
        Ok(())
    }

    /// Gives the pod of a port its place.
    pub(super) fn house(&self, id: PortId, port: &Port, batch: &mut Batch) -> Result<(), ChangeError> {
        let Some(enforcer) = &self.enforcer else { return Ok(()) };
        let misfit = |misfit| ChangeError::Misfit { name: port.name.clone(), misfit: Box::new(misfit) };
        batch.houses |= enforcer.house(id, port).map_err(misfit)?;
        Ok(())
    }

    fn dismiss(&mut self, name: Name, back: Back, batch: &mut Batch) -> Result<(), ChangeError> {
        if !batch.desired.ports.contains_key(&name) {
            return Err(unknown("port", &name, batch.desired.ports.keys()));
        }
        self.take_out(&name, &mut batch.desired, &mut batch.numbers);
        batch.waiting.gone.push((name, back));
        Ok(())
    }

    /// Takes a port out of what is desired; its ends are taken from the workers with the next publication.
    fn take_out(&mut self, name: &Name, desired: &mut Desired, numbers: &mut Numbers) {
        let (Some(port), Some(number)) = (desired.ports.remove(name), numbers.release_port(name)) else { return };
        tracing::info!(port = %name, "port removed");
        let up = self.up.remove(name).map(Box::new);
        self.been_up.remove(name);
        self.retry.remove(name);
        if let Some(enforcer) = &self.enforcer {
            enforcer.unhouse(number, &port);
        }
        self.due.note((number, port));
        self.leaving.push(Leaving::Port { name: name.clone(), number, up });
    }

    fn unmake(&mut self, name: Name, back: Back, batch: &mut Batch) -> Result<(), ChangeError> {
        is_idle(&name, &batch.desired)?;
        self.take_network_out(&name, &mut batch.desired, &mut batch.numbers);
        batch.waiting.gone.push((name, back));
        Ok(())
    }

    fn take_network_out(&mut self, name: &Name, desired: &mut Desired, numbers: &mut Numbers) {
        let Some(network) = desired.networks.remove(name) else { return };
        self.due = Due::All;
        tracing::info!(network = %name, "network removed");
        let is_empty = desired.networks_of(&network.vrf).next().is_none();
        if let Some((network, vrf)) = numbers.release_network(name, is_empty.then_some(&network.vrf)) {
            self.leaving.push(Leaving::Network(network, vrf));
        }
    }

    /// Publishes a batch and answers. What is new and does not come in force is taken out again.
    fn put_forward(&mut self, batch: Batch) {
        let Batch { desired, numbers, waiting, houses } = batch;
        self.adopt(desired, numbers);
        if waiting.is_empty() {
            return;
        }
        // Before its tables: who is told that a pod is there can be sure that the wire reaches it.
        self.reclaim();
        let housed = match (&self.enforcer, houses) {
            // The policy first: when the tables know the port, it is judged.
            (Some(enforcer), true) => enforcer.publish().map_err(Unpublished::from),
            _ => Ok(()),
        };
        match housed.and_then(|()| self.publish()) {
            Ok(()) => waiting.into_backs().for_each(|back| answer(&back, Ok(()))),
            Err(error) => self.withdraw(waiting, &error),
        }
        if let Some(enforcer) = &self.enforcer {
            // What policy knew of those that are gone goes in its own time: no packet is theirs.
            enforcer.nudge();
        }
    }

    /// Takes out what did not come in force.
    fn withdraw(&mut self, Waiting { born, restated, made, gone }: Waiting, error: &Unpublished) {
        let (mut desired, mut numbers) = ((*self.desired).clone(), (*self.numbers).clone());
        born.iter().for_each(|(port, _)| self.take_out(&port.name, &mut desired, &mut numbers));
        for (former, _) in &restated {
            self.state_as_before(former, &mut desired, &numbers);
        }
        made.iter().for_each(|(name, _)| self.take_network_out(name, &mut desired, &mut numbers));
        self.adopt(desired, numbers);
        let of_ports = born.into_iter().chain(restated).map(|(_, back)| back);
        let added = of_ports.chain(made.into_iter().map(|(_, back)| back));
        added.for_each(|back| answer(&back, Err(error.told())));
        for (name, back) in gone {
            answer(&back, Err(ChangeError::Late { name }));
        }
        // Tried again in the next pass, without what was new.
        self.behind = true;
    }

    /// Has these desires and numbers count from now on, for whoever asks too.
    fn adopt(&mut self, desired: Desired, numbers: Numbers) {
        let (desired, numbers) = (Arc::new(desired), Arc::new(numbers));
        self.plans.replace(Plan { desired: Arc::clone(&desired), numbers: Arc::clone(&numbers) });
        (self.desired, self.numbers) = (desired, numbers);
    }

    /// Has what is in no table any more taken from the workers and closed.
    pub(super) fn let_go(&mut self) {
        if self.leaving.is_empty() {
            return;
        }
        for leaving in std::mem::take(&mut self.leaving) {
            match leaving {
                Leaving::Port { name, number, up } => {
                    self.board.write(|facts| drop(facts.ports.remove(&name)));
                    self.board.warn(&format!("tags of port {name}"), None);
                    match up {
                        Some(up) => self.close((name, Some(number)), self.taken(number, *up), Device::close),
                        None => self.closer.close(Closing {
                            name,
                            ends: Vec::new(),
                            device: None,
                            leave: Device::close,
                            number: Some(number),
                        }),
                    }
                    self.unhear(number);
                }
                Leaving::Network(network, vrf) => {
                    let known = |name: &Name| self.desired.networks.contains_key(name);
                    self.board.write(|facts| facts.proposed_mtus.retain(|name, _| known(name)));
                    self.closer.forget(network, vrf);
                }
            }
        }
        self.world.retain(&self.desired);
    }

    /// A port with the ends that the workers had of it.
    pub(super) fn taken(&self, number: PortId, up: Up) -> Up {
        if !up.ends.is_empty() {
            return up;
        }
        let (ends, silent) = self.workers.take(number);
        if let Err(error) = silent {
            tracing::error!(port = %number, %error, "port not detached cleanly");
        }
        Up { ends, ..up }
    }

    /// Closes in the background what no worker has; its number, if it is told, is free then.
    pub(super) fn close(&self, (name, number): (Name, Option<PortId>), up: Up, leave: super::close::Leave) {
        let Up { device, ends, .. } = up;
        self.closer.close(Closing { name, ends, device, leave, number });
    }
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.born.is_empty() && self.restated.is_empty() && self.made.is_empty() && self.gone.is_empty()
    }

    /// All who wait.
    fn into_backs(self) -> impl Iterator<Item = Back> {
        let of_networks = self.made.into_iter().chain(self.gone).map(|(_, back)| back);
        self.born.into_iter().chain(self.restated).map(|(_, back)| back).chain(of_networks)
    }
}

fn make(network: crate::desired::Network, back: Back, batch: &mut Batch) -> Result<(), ChangeError> {
    fits_beside(&network, &batch.desired)?;
    let name = network.name.clone();
    if !batch.numbers.add_network(&name, &network.vrf) {
        return Err(ChangeError::Full { what: "network", most: 1 << 16 });
    }
    tracing::info!(network = %name, "network added");
    batch.desired.networks.insert(name.clone(), network);
    batch.waiting.made.push((name, back));
    Ok(())
}

/// Who does not wait any more need not be told.
fn answer(back: &Back, outcome: Result<(), ChangeError>) {
    let _ = back.send(outcome);
}
