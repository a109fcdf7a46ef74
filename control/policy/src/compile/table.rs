//! The rules of one tier and direction for one set of selecting policies, laid flat to be searched.
//!
//! ```text
//! rows, by peer set:  set 3 -> ranges [TCP 80..=80: rule 7] [UDP 0..=65535: rule 9]
//!                     set 8 less 9 -> names [TCP "http": rule 12]
//! ```
//!
//! A row is what all rules together say of one peer set, overlaps resolved to the first rule, so that a search ends with at most one
//! range in each row. Between the rows that hold a peer the first rule wins, by its rank in the table. Rows are found from
//! whichever side is shorter, the table's sets or the peer's: a table of 10,000 rows costs a peer in ten sets ten searches.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::RuleId;
use super::record::{PeerKey, PortKey, PortName, Record};
use crate::model::{Action, Direction, Protocol};

/// A rule found, and its rank within its table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Hit {
    rank: u32,
    pub(crate) rule: RuleId,
    pub(crate) action: Action,
}

#[derive(Clone, Copy, Debug)]
struct Range {
    protocol: Protocol,
    first: u16,
    last: u16,
    hit: Hit,
}

#[derive(Clone, Copy, Debug)]
struct Name {
    protocol: Protocol,
    name: u32,
    hit: Hit,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    from: u32,
    to: u32,
}

impl Span {
    fn of<T>(self, all: &[T]) -> &[T] {
        &all[self.from as usize..self.to as usize]
    }
}

#[derive(Clone, Copy, Debug)]
struct Row {
    set: u32,
    except: Span,
    ranges: Span,
    names: Span,
}

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Table {
    /// The policies it was built from, in order.
    pub(crate) policies: Box<[Arc<Record>]>,
    rows: Box<[Row]>,
    except: Box<[u32]>,
    ranges: Box<[Range]>,
    names: Box<[Name]>,
}

impl Table {
    /// From policies in the order in which they are tried.
    pub(super) fn new(policies: Vec<Arc<Record>>, direction: Direction) -> Self {
        let mut by_peer: BTreeMap<&PeerKey, Vec<(PortKey, Hit)>> = BTreeMap::new();
        let rules = policies.iter().flat_map(|record| record.rules(direction));
        for (rank, rule) in (0..).zip(rules) {
            let hit = Hit { rank, rule: rule.number, action: rule.action };
            for peer in &rule.peers {
                by_peer.entry(peer).or_default().extend(rule.ports.iter().map(|port| (*port, hit)));
            }
        }
        let (mut rows, mut except, mut ranges, mut names) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (peer, ports) in by_peer {
            let excepts = append(&mut except, peer.except.iter().copied());
            let (flat, named) = flatten(&ports);
            let (ranges, names) = (append(&mut ranges, flat), append(&mut names, named));
            rows.push(Row { set: peer.set, except: excepts, ranges, names });
        }
        Self {
            policies: policies.into(),
            rows: rows.into(),
            except: except.into(),
            ranges: ranges.into(),
            names: names.into(),
        }
    }

    /// The first rule for this connection, if there is one. `sets` and `names` are sorted.
    pub(crate) fn first(&self, sets: &[u32], names: &[PortName], protocol: Protocol, port: u16) -> Option<Hit> {
        let mut best: Option<Hit> = None;
        self.each_row(sets, |row| {
            for hit in self.in_row(row, names, protocol, port).into_iter().flatten() {
                if best.is_none_or(|best| hit.rank < best.rank) {
                    best = Some(hit);
                }
            }
        });
        best
    }

    /// Every port at which what this table says of a peer may begin to differ, for a destination with these names.
    pub(crate) fn borders(&self, sets: &[u32], names: &[PortName], into: &mut BTreeSet<(Protocol, u16)>) {
        let mut border = |protocol, first, last: u16| {
            into.insert((protocol, first));
            into.extend(last.checked_add(1).map(|next| (protocol, next)));
        };
        self.each_row(sets, |row| {
            for range in row.ranges.of(&self.ranges) {
                border(range.protocol, range.first, range.last);
            }
            for port in names {
                if !row.names.of(&self.names).is_empty() {
                    border(port.protocol, port.port, port.port);
                }
            }
        });
    }

    #[inline]
    fn each_row(&self, sets: &[u32], mut visit: impl FnMut(&Row)) {
        if self.rows.len() <= sets.len() {
            for row in &self.rows {
                if sets.binary_search(&row.set).is_ok() && self.keeps(row, sets) {
                    visit(row);
                }
            }
            return;
        }
        for set in sets {
            let from = self.rows.partition_point(|row| row.set < *set);
            for row in self.rows[from..].iter().take_while(|row| row.set == *set) {
                if self.keeps(row, sets) {
                    visit(row);
                }
            }
        }
    }

    #[inline]
    fn keeps(&self, row: &Row, sets: &[u32]) -> bool {
        row.except.of(&self.except).iter().all(|except| sets.binary_search(except).is_err())
    }

    #[inline]
    fn in_row(&self, row: &Row, names: &[PortName], protocol: Protocol, port: u16) -> [Option<Hit>; 2] {
        let ranges = row.ranges.of(&self.ranges);
        let after = ranges.partition_point(|range| (range.protocol, range.first) <= (protocol, port));
        let range = after.checked_sub(1).map(|at| ranges[at]);
        let by_number = range.filter(|range| range.protocol == protocol && port <= range.last).map(|range| range.hit);
        let known = row.names.of(&self.names);
        if known.is_empty() {
            return [by_number, None];
        }
        let here = |name: &&PortName| (name.protocol, name.port) == (protocol, port);
        let by_name = names.iter().filter(here).filter_map(|name| {
            let at = known.binary_search_by_key(&(name.name, protocol), |known| (known.name, known.protocol)).ok()?;
            Some(known[at].hit)
        });
        [by_number, by_name.min_by_key(|hit| hit.rank)]
    }
}

fn append<T>(all: &mut Vec<T>, more: impl IntoIterator<Item = T>) -> Span {
    let index = |at: usize| u32::try_from(at).expect("a table of more than u32::MAX entries does not fit into memory");
    let from = index(all.len());
    all.extend(more);
    Span { from, to: index(all.len()) }
}

/// What the ports of one row come to: ranges that do not overlap and names that do not repeat, each with its first rule.
fn flatten(ports: &[(PortKey, Hit)]) -> (Vec<Range>, Vec<Name>) {
    let mut names: BTreeMap<(u32, Protocol), Hit> = BTreeMap::new();
    // What begins and what ends at a port; one past the last port is a port here.
    let mut edges: BTreeMap<(Protocol, u32), Vec<(bool, Hit)>> = BTreeMap::new();
    for (port, hit) in ports {
        match *port {
            PortKey::Named { protocol, name } => {
                let first = names.entry((name, protocol)).or_insert(*hit);
                if hit.rank < first.rank {
                    *first = *hit;
                }
            }
            PortKey::Range { protocol, first, last } => {
                edges.entry((protocol, first.into())).or_default().push((true, *hit));
                edges.entry((protocol, u32::from(last) + 1)).or_default().push((false, *hit));
            }
        }
    }
    let names = names.into_iter().map(|((name, protocol), hit)| Name { protocol, name, hit }).collect();
    (sweep(&edges), names)
}

/// Goes through the edges in order and keeps the rules that are open, with how often each is.
fn sweep(edges: &BTreeMap<(Protocol, u32), Vec<(bool, Hit)>>) -> Vec<Range> {
    let mut open: BTreeMap<u32, (usize, Hit)> = BTreeMap::new();
    let mut ranges: Vec<Range> = Vec::new();
    let mut began = 0;
    for ((protocol, at), here) in edges {
        if let (Some((_, (_, hit))), Ok(first), Ok(last)) =
            (open.first_key_value(), u16::try_from(began), u16::try_from(i64::from(*at) - 1))
        {
            let same = |range: &&mut Range| {
                range.hit == *hit && range.protocol == *protocol && u32::from(range.last) + 1 == began
            };
            match ranges.last_mut().filter(same) {
                Some(range) => range.last = last,
                None => ranges.push(Range { protocol: *protocol, first, last, hit: *hit }),
            }
        }
        for (begins, hit) in here {
            let (count, _) = open.entry(hit.rank).or_insert((0, *hit));
            *count = if *begins { *count + 1 } else { count.saturating_sub(1) };
        }
        // An end may stand before a beginning of the same rule at one port, so what is closed is taken out afterwards.
        for (_, hit) in here {
            if open.get(&hit.rank).is_some_and(|(count, _)| *count == 0) {
                open.remove(&hit.rank);
            }
        }
        began = *at;
    }
    ranges
}
