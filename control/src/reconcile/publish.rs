//! What is desired and open, put in force: tables first, and only then the ends of new ports.
//!
//! When pods come and go, the tables in force are amended; after anything else they are compiled as a whole. Either way all workers have them
//! before anybody is told, and before a worker turns a port that is new.

use std::sync::Arc;

use podlane_dataplane::tables::Tables;
use thiserror::Error;

use super::change::ChangeError;
use super::crew::Silent;
use super::pass::Reconciler;
use super::underlay;
use crate::compile::{Attached, Changed, Seen, Unsatisfied, amend, compile, is_amendable};
use crate::desired::Name;

/// What the tables in force do not have yet.
#[derive(Default)]
pub(super) enum Due {
    /// Anything.
    #[default]
    All,
    /// What changed of these ports, and nothing else.
    Ports(Arc<Tables>, Vec<Changed>),
}

impl Due {
    /// A port came, goes or is stated otherwise.
    pub(super) fn note(&mut self, changed: Changed) {
        if let Self::Ports(_, ports) = self {
            ports.push(changed);
        }
    }
}

/// Why the tables in force are not those that should be.
#[derive(Debug, Error)]
pub(super) enum Unpublished {
    #[error(transparent)]
    Compile(#[from] Unsatisfied),
    #[error(transparent)]
    Workers(#[from] Silent),
}

impl Unpublished {
    /// As those are told whose change it held up.
    pub(super) fn told(&self) -> ChangeError {
        ChangeError::NotInForce { why: self.to_string() }
    }
}

impl Reconciler {
    /// As [`Self::publish`], where nobody waits: what fails is on the board, and tried again.
    pub(super) fn republish(&mut self) {
        self.due = Due::All;
        let _ = self.publish();
    }

    /// Puts in force what is desired and open now, and only then gives new ports to the workers: what comes in by a port that is in no table
    /// yet would be dropped.
    pub(super) fn publish(&mut self) -> Result<(), Unpublished> {
        // What fails may be in force with some of the workers: next time all is made anew.
        let outcome = match std::mem::take(&mut self.due) {
            Due::Ports(former, changed) => self.put_changed_in_force(&former, &changed),
            Due::All => self.put_all_in_force(),
        };
        self.behind = outcome.is_err();
        if let Err(error) = &outcome {
            tracing::error!(%error, "tables not in force");
            self.board.write(|facts| drop(facts.warnings.insert("tables".to_owned(), error.to_string())));
        } else {
            self.let_go();
            // Who does not wait any more need not be told.
            for waits in self.waiting.drain(..) {
                let _ = waits.send(());
            }
        }
        outcome
    }

    fn put_all_in_force(&mut self) -> Result<(), Unpublished> {
        let attached = self.up.iter().map(|(name, up)| (name.clone(), up.attached)).collect();
        let seen = Seen { attached, hosts: self.hosts.clone(), endpoints: self.endpoints.list() };
        let (desired, numbers) = (&self.desired, &self.numbers);
        let tables =
            self.publisher.tables::<Unpublished>(|generation| Ok(compile(desired, numbers, &seen, generation)?))?;
        let fresh: Vec<Name> =
            self.up.iter().filter(|(_, up)| !up.told || !up.ends.is_empty()).map(|(name, _)| name.clone()).collect();
        self.hand_out(&fresh);
        self.board.write(|facts| underlay::tell_mtus(&self.desired, &seen, facts));
        self.tell_of(&tables, &fresh);
        if is_amendable(&self.desired, &seen) {
            self.due = Due::Ports(tables, Vec::new());
        }
        Ok(())
    }

    fn put_changed_in_force(&mut self, former: &Tables, changed: &[Changed]) -> Result<(), Unpublished> {
        let attached = |name: &Name| -> Option<Attached> { self.up.get(name).map(|up| up.attached) };
        let known = (&*self.desired, &*self.numbers);
        let amended = self.publisher.tables::<Unamended>(|generation| {
            amend(former, changed, known, attached, generation).ok_or(Unamended::Compile)
        });
        let tables = match amended {
            Err(Unamended::Compile) => return self.put_all_in_force(),
            Err(Unamended::Workers(silent)) => return Err(silent.into()),
            Ok(tables) => tables,
        };
        let fresh: Vec<Name> = changed.iter().map(|(_, port)| port.name.clone()).collect();
        self.hand_out(&fresh);
        self.tell_of(&tables, &fresh);
        self.due = Due::Ports(tables, Vec::new());
        Ok(())
    }

    /// Gives the workers the ends of ports that are in their tables now.
    fn hand_out(&mut self, fresh: &[Name]) {
        for name in fresh {
            let Some(up) = self.up.get_mut(name).filter(|up| !up.ends.is_empty()) else { continue };
            if let Err(error) = self.workers.attach(self.numbers.port(name), std::mem::take(&mut up.ends)) {
                tracing::error!(port = %name, %error, "port not attached");
            }
        }
    }

    /// Writes down that tables are in force, and what has become of ports that are new in them.
    fn tell_of(&mut self, tables: &Arc<Tables>, fresh: &[Name]) {
        self.board.write(|facts| {
            facts.generation = tables.generation.0;
            facts.tables = Arc::clone(tables);
            facts.warnings.remove("tables");
            for name in fresh {
                let Some(up) = self.up.get_mut(name).filter(|up| !up.told) else { continue };
                facts.ports.insert(name.clone(), up.fate.clone());
                up.told = true;
            }
        });
    }
}

/// Why tables were not amended.
enum Unamended {
    /// What changed takes a compilation.
    Compile,
    Workers(Silent),
}

impl From<Silent> for Unamended {
    fn from(silent: Silent) -> Self {
        Self::Workers(silent)
    }
}
