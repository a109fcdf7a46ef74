//! Label selectors. Everything said in one selector must hold; a selector that says nothing matches everything.

use std::collections::BTreeSet;

use super::Labels;

/// A label selector.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Selector {
    /// `matchLabels`: each must be there with this value.
    pub labels: Labels,
    /// `matchExpressions`: each must hold.
    pub expressions: Vec<Expression>,
}

/// One item of `matchExpressions`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Expression {
    /// The label's key.
    pub key: String,
    /// What must hold for it.
    pub operator: Operator,
}

/// What is asked of a label. As in Kubernetes, [`NotIn`](Self::NotIn) holds where the label is absent.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Operator {
    /// Present, with one of these values.
    In(BTreeSet<String>),
    /// Absent, or with none of these values.
    NotIn(BTreeSet<String>),
    /// Present.
    Exists,
    /// Absent.
    DoesNotExist,
}

impl Selector {
    /// Whether it matches these labels.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        self.labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.expressions.iter().all(|expression| expression.holds(labels))
    }

    /// A label without which nothing matches, if there is such a one: what an index may be sorted by.
    pub(crate) fn required(&self) -> Option<(&str, &str)> {
        let single =
            |expression: &'_ Expression| matches!(&expression.operator, Operator::In(values) if values.len() == 1);
        self.labels.iter().next_back().map(|(key, value)| (key.as_str(), value.as_str())).or_else(|| {
            let expression = self.expressions.iter().find(|expression| single(expression))?;
            match &expression.operator {
                Operator::In(values) => values.first().map(|value| (expression.key.as_str(), value.as_str())),
                _ => None,
            }
        })
    }
}

impl Expression {
    fn holds(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        match &self.operator {
            Operator::In(values) => value.is_some_and(|value| values.contains(value)),
            Operator::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }
}
