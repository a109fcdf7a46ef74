//! `podlane policy apply`, `delete` and `list`

use std::fmt::Write as _;

use podlane_api::{Policies, PolicyApplied, PolicyEntry};
use serde::Serialize;

use super::Show;
use crate::cli::table::Lean::{Left, Right};
use crate::cli::table::{Cell, Table};
use crate::paint::Paint;
use crate::units;

/// What was done to objects.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::cli) enum Done {
    Applied,
    Deleted,
}

impl Done {
    pub(in crate::cli) fn of(self, applied: &PolicyApplied) -> Told<'_> {
        Told { done: self, applied }
    }
}

/// What was done, and to what. To programs it is the daemon's answer.
#[derive(Serialize, Debug)]
pub(in crate::cli) struct Told<'a> {
    #[serde(skip)]
    done: Done,
    #[serde(flatten)]
    applied: &'a PolicyApplied,
}

impl Show for Told<'_> {
    fn show(&self, _: Paint) -> String {
        let word = if self.done == Done::Applied { "applied" } else { "deleted" };
        let PolicyApplied { objects, in_force, .. } = self.applied;
        if objects.is_empty() {
            return "nothing to do: the files have no pods, namespaces and network policies\n".to_owned();
        }
        let mut text = String::new();
        for object in objects {
            // Writing into a String cannot fail.
            let _ = writeln!(text, "{word}: {object}");
        }
        text + if *in_force { "in force in every worker\n" } else { "taken; in force soon\n" }
    }
}

impl Show for Policies {
    fn show(&self, paint: Paint) -> String {
        let Self { pods, namespaces, classes, identities, unknown_pods, policies } = self;
        let columns =
            [("KIND", Left), ("NAME", Left), ("TIER", Left), ("PRIORITY", Right), ("PODS", Right), ("FROM", Left)];
        let mut table = Table::new(columns, paint);
        for PolicyEntry { kind, namespace, name, tier, priority, pods, file, line } in policies {
            let name = namespace.as_ref().map_or_else(|| name.clone(), |namespace| format!("{namespace}/{name}"));
            table.row([
                kind.as_str().into(),
                name.into(),
                tier.as_str().into(),
                // Of a NetworkPolicy there is none.
                Cell::or_dash((tier != "NetworkPolicy").then(|| priority.to_string())),
                units::count(*pods).into(),
                Cell::or_dash((!file.is_empty()).then(|| format!("{file}:{line}"))),
            ]);
        }
        let mut text = if policies.is_empty() {
            "no policies: every pod that is known is open\n".to_owned()
        } else {
            table.to_string()
        };
        let [pods, namespaces, classes, identities] = [pods, namespaces, classes, identities].map(|n| units::count(*n));
        let _ = writeln!(
            text,
            "over {pods} pods and {namespaces} namespaces, in {classes} classes of subjects and {identities} identities of peers"
        );
        for pod in unknown_pods {
            let _ = writeln!(text, "nothing is known of pod {pod}, which is behind a port: it is closed");
        }
        text
    }
}
