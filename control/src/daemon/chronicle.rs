//! What was changed over the socket since the daemon started. It is in no file, so a daemon that takes over has to be told; and while one
//! does, nothing more may be changed.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use podlane_api::{Refusal, Reply, Request};

/// From so many changes on, those that later ones have overtaken are forgotten.
const ROOM: usize = 1024;

/// A change, and the objects it spoke of.
#[derive(Clone, Debug)]
struct Entry {
    request: Request,
    objects: Vec<String>,
}

/// The changes, in their order.
#[derive(Debug, Default)]
pub(super) struct Chronicle {
    entries: Mutex<Vec<Entry>>,
    door: Mutex<Door>,
    left: Condvar,
}

/// Who may change something.
#[derive(Debug, Default)]
struct Door {
    is_closed: bool,
    /// Changes under way.
    inside: usize,
}

/// A change that is under way, until it is dropped.
#[derive(Debug)]
pub(super) struct Change<'c>(&'c Chronicle);

impl Drop for Change<'_> {
    fn drop(&mut self) {
        self.0.door().inside -= 1;
        self.0.left.notify_all();
    }
}

impl Chronicle {
    /// Lets a request begin. A question needs no leave.
    ///
    /// # Errors
    /// [`Refusal::HandingOver`]: another daemon is just taking over.
    pub(super) fn begin(&self, request: &Request) -> Result<Option<Change<'_>>, Refusal> {
        if is_change(request) { self.change().map(Some) } else { Ok(None) }
    }

    /// Lets a change begin; it may go on until what is returned is dropped.
    ///
    /// # Errors
    /// [`Refusal::HandingOver`], at once: nobody waits for what is under way.
    pub(super) fn change(&self) -> Result<Change<'_>, Refusal> {
        let mut door = self.door();
        if door.is_closed {
            return Err(Refusal::HandingOver);
        }
        door.inside += 1;
        Ok(Change(self))
    }

    /// Remembers what was changed.
    pub(super) fn note(&self, request: &Request, reply: &Reply) {
        let objects = match (request, reply) {
            (Request::ApplyPolicy(_), Reply::ApplyPolicy(applied))
            | (Request::DeletePolicy(_), Reply::DeletePolicy(applied)) => applied.objects.clone(),
            (Request::SetEndpoint(endpoint), _) => vec![format!("Endpoint {}/{}", endpoint.network, endpoint.mac)],
            (Request::RemoveEndpoint(removal), _) => vec![format!("Endpoint {}/{}", removal.network, removal.mac)],
            _ => return,
        };
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.push(Entry { request: request.clone(), objects });
        if entries.len() > ROOM && entries.len().is_power_of_two() {
            forget_overtaken(&mut entries);
        }
    }

    /// Remembers a change of a former daemon's, which is in force already.
    pub(super) fn keep(&self, request: &Request) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        // Of which objects it spoke is not known here, so it is kept.
        let objects = vec![format!("former {}", entries.len())];
        entries.push(Entry { request: request.clone(), objects });
    }

    /// Lets no change begin any more.
    pub(super) fn close(&self) {
        self.door().is_closed = true;
    }

    /// Waits so long for the changes that are under way. Returns whether none is any more.
    pub(super) fn is_left_within(&self, longest: Duration) -> bool {
        let waited = self.left.wait_timeout_while(self.door(), longest, |door| door.inside > 0);
        waited.unwrap_or_else(PoisonError::into_inner).0.inside == 0
    }

    /// All that was changed.
    pub(super) fn told(&self) -> Vec<Request> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        forget_overtaken(&mut entries);
        entries.iter().map(|entry| entry.request.clone()).collect()
    }

    /// Lets changes begin again.
    pub(super) fn open(&self) {
        self.door().is_closed = false;
    }

    fn door(&self) -> MutexGuard<'_, Door> {
        self.door.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a request changes what its daemon does.
fn is_change(request: &Request) -> bool {
    match request {
        Request::SetEndpoint(_)
        | Request::RemoveEndpoint(_)
        | Request::ApplyPolicy(_)
        | Request::DeletePolicy(_)
        | Request::Cni(_)
        | Request::Netavark(_) => true,
        Request::Status
        | Request::Ports
        | Request::Flows(_)
        | Request::Counters
        | Request::Tunnels
        | Request::Offload
        | Request::Neighbours(_)
        | Request::Endpoints(_)
        | Request::Policies
        | Request::Why(_)
        | Request::TestPolicy(_)
        | Request::StartShadow(_)
        | Request::Shadow(_)
        | Request::EndShadow(_)
        | Request::Denied(_)
        | Request::Connections(_)
        | Request::Attachments(_)
        | Request::Leases(_) => false,
    }
}

/// Forgets what changed only objects that were set again later: who begins anew ends with the same. What was deleted stays with what it
/// was deleted from.
fn forget_overtaken(entries: &mut Vec<Entry>) {
    let mut set_later = std::collections::HashSet::new();
    let mut deleted_later = std::collections::HashSet::new();
    let mut kept = Vec::new();
    for entry in entries.drain(..).rev() {
        let sets = matches!(entry.request, Request::ApplyPolicy(_) | Request::SetEndpoint(_));
        let overtaken =
            entry.objects.iter().all(|object| set_later.contains(object) && !deleted_later.contains(object));
        if overtaken && sets {
            continue;
        }
        let spoken_of = if sets { &mut set_later } else { &mut deleted_later };
        spoken_of.extend(entry.objects.iter().cloned());
        kept.push(entry);
    }
    kept.reverse();
    *entries = kept;
}

#[cfg(test)]
mod tests {
    use podlane_api::{Manifests, PolicyApplied};

    use super::*;

    fn manifests() -> Manifests {
        Manifests { files: Vec::new(), wait: true }
    }

    fn applied(chronicle: &Chronicle, objects: &[&str]) {
        let objects = objects.iter().map(ToString::to_string).collect();
        let applied = PolicyApplied { objects, warnings: Vec::new(), in_force: true };
        chronicle.note(&Request::ApplyPolicy(manifests()), &Reply::ApplyPolicy(applied));
    }

    fn deleted(chronicle: &Chronicle, object: &str) {
        let applied = PolicyApplied { objects: vec![object.to_owned()], warnings: Vec::new(), in_force: true };
        chronicle.note(&Request::DeletePolicy(manifests()), &Reply::DeletePolicy(applied));
    }

    #[test]
    fn what_was_set_again_is_told_once_and_what_was_deleted_is_told_with_what_it_was() {
        let chronicle = Chronicle::default();
        for _ in 0..10 {
            applied(&chronicle, &["Pod blue/web"]);
        }
        applied(&chronicle, &["Pod blue/db", "Pod blue/web"]);
        assert_eq!(chronicle.told(), [Request::ApplyPolicy(manifests())]);
        deleted(&chronicle, "Pod blue/db");
        applied(&chronicle, &["Pod blue/db"]);
        let told =
            [Request::ApplyPolicy(manifests()), Request::DeletePolicy(manifests()), Request::ApplyPolicy(manifests())];
        assert_eq!(chronicle.told(), told);
    }

    #[test]
    fn while_it_is_closed_a_change_is_refused_and_a_question_is_not() {
        let chronicle = Chronicle::default();
        let change = Request::ApplyPolicy(manifests());
        assert!(chronicle.begin(&change).unwrap().is_some());
        chronicle.close();
        assert_eq!(chronicle.begin(&change).unwrap_err(), Refusal::HandingOver);
        assert!(chronicle.begin(&Request::Status).unwrap().is_none());
        chronicle.open();
        assert!(chronicle.begin(&change).unwrap().is_some());
    }

    #[test]
    fn a_change_under_way_is_waited_for_so_long_and_the_next_ones_are_refused_at_once() {
        let chronicle = Chronicle::default();
        let under_way = chronicle.change().unwrap();
        chronicle.close();
        assert_eq!(chronicle.change().unwrap_err(), Refusal::HandingOver);
        assert!(!chronicle.is_left_within(Duration::from_millis(5)));
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| chronicle.is_left_within(Duration::from_secs(60)));
            drop(under_way);
            assert!(waits.join().unwrap());
        });
        // Nothing came of it: the next one begins.
        chronicle.open();
        let next = chronicle.change().unwrap();
        assert!(!chronicle.is_left_within(Duration::ZERO));
        drop(next);
    }
}
