//! A candidate's tables, kept in step with a live cluster: what changed is applied, and nothing is compiled from the beginning.

use std::collections::{BTreeMap, BTreeSet};

use podlane_policy::model::{Policy, PolicyName};
use podlane_policy::{Change, Cluster, Compiled, Compiler};

/// A compiler of a live cluster with candidate policies in it.
#[derive(Debug)]
pub(super) struct Follower {
    compiler: Compiler,
    /// The candidate's; live ones of their names are passed over.
    own: BTreeSet<PolicyName>,
    /// The live cluster as it was last seen.
    known: Cluster,
}

impl Follower {
    pub(super) fn of(policies: Vec<Policy>, cluster: Cluster) -> Self {
        let own = policies.iter().map(|policy| policy.name.clone()).collect();
        let mut compiler = Compiler::of(cluster.clone());
        policies.into_iter().for_each(|policy| compiler.apply(Change::Policy(policy)));
        Self { compiler, own, known: cluster }
    }

    /// The candidate's tables for the cluster as it is now.
    pub(super) fn follow(&mut self, now: Cluster) -> Compiled {
        let Self { compiler, own, known } = self;
        let (came, went) = between(&known.namespaces, &now.namespaces, |namespace| &namespace.name);
        went.into_iter().for_each(|name| compiler.apply(Change::NoNamespace(name)));
        came.into_iter().for_each(|namespace| compiler.apply(Change::Namespace(namespace)));
        let (came, went) = between(&known.policies, &now.policies, |policy| &policy.name);
        went.into_iter().filter(|name| !own.contains(name)).for_each(|name| compiler.apply(Change::NoPolicy(name)));
        came.into_iter()
            .filter(|policy| !own.contains(&policy.name))
            .for_each(|policy| compiler.apply(Change::Policy(policy)));
        let (came, went) = between(&known.pods, &now.pods, |pod| &pod.name);
        went.into_iter().for_each(|name| compiler.apply(Change::NoPod(name)));
        came.into_iter().for_each(|pod| compiler.apply(Change::Pod(pod)));
        *known = now;
        compiler.compile()
    }
}

/// What is new or other than before, and the names of what is gone.
fn between<T: Clone + PartialEq, N: Ord + Clone>(
    before: &[T],
    now: &[T],
    name: impl for<'t> Fn(&'t T) -> &'t N,
) -> (Vec<T>, Vec<N>) {
    let mut gone: BTreeMap<&N, &T> = before.iter().map(|one| (name(one), one)).collect();
    let came = now.iter().filter(|one| gone.remove(name(one)) != Some(*one)).cloned().collect();
    (came, gone.into_keys().cloned().collect())
}
