//! What somebody prefers among the providers that could serve a request, and which of them may serve somebody at all.
//!
//! Must not know which providers there are: names are what was written, and are checked by who knows the catalogue.

use std::fmt;

use super::money::PicoUsd;

/// Names in one list, at most; a bound of what is kept of a request.
pub const PROVIDERS_LISTED_MAX: usize = 32;

/// What a request prefers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preference {
    /// These first, in this order.
    pub order: Vec<Box<str>>,
    /// None but these; empty for any.
    pub only: Vec<Box<str>>,
    /// None of these.
    pub ignore: Vec<Box<str>>,
    /// How those are ordered that `order` does not name; `None` keeps the order of the chain.
    pub sort: Option<Sort>,
    /// Whether nobody but those in `order` may be asked; without an `order` nobody but the first.
    pub is_strict: bool,
    /// What a token may cost at most.
    pub max_price: MaxPrice,
    /// Only at addresses of this region; `None` for any.
    pub region: Option<Box<str>>,
}

/// Which providers may serve somebody, whatever a request prefers among them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProviderBounds {
    /// None but these; empty for any.
    pub only: Vec<Box<str>>,
    /// None of these.
    pub ignore: Vec<Box<str>>,
    /// Only at addresses of this region; `None` for any.
    pub region: Option<Box<str>>,
}

/// A bound of a price, in pico-USD per token. `None` for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MaxPrice {
    /// Of the prompt.
    pub prompt: Option<PicoUsd>,
    /// Of the answer.
    pub completion: Option<PicoUsd>,
}

/// What targets are ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// The cheapest first.
    Price,
    /// First the one whose first token comes soonest.
    Latency,
    /// First the one whose tokens come fastest.
    Throughput,
}

impl Sort {
    /// All with the names that clients write.
    pub const NAMES: [(&'static str, Self); 3] =
        [("price", Self::Price), ("latency", Self::Latency), ("throughput", Self::Throughput)];
}

impl Preference {
    /// None but these, in this order: what a list in a header asks for.
    pub fn listed(order: Vec<Box<str>>) -> Self {
        Self { order, is_strict: true, ..Self::default() }
    }

    /// Whether it says who is to be asked before whom.
    pub fn orders(&self) -> bool {
        !self.order.is_empty() || self.sort.is_some()
    }

    /// All names that it holds, with the list that each stands in.
    pub fn names(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let lists = [("order", &self.order), ("only", &self.only), ("ignore", &self.ignore)];
        lists.into_iter().flat_map(|(list, names)| names.iter().map(move |name| (list, &**name)))
    }

    /// Whether a provider may be asked.
    pub fn allows(&self, provider: &str) -> bool {
        let is_ordered = !self.is_strict || self.order.is_empty() || is_in(&self.order, provider);
        is_ordered && is_within(&self.only, &self.ignore, provider)
    }

    /// The place of a provider in `order`; the place after the last where it is not named.
    pub fn place(&self, provider: &str) -> usize {
        self.order.iter().position(|name| **name == *provider).unwrap_or(self.order.len())
    }
}

impl ProviderBounds {
    /// Whether they leave every provider, anywhere.
    pub fn is_any(&self) -> bool {
        self.only.is_empty() && self.ignore.is_empty() && self.region.is_none()
    }

    /// As they are kept: each name once in its list, and nothing where they leave every provider, anywhere.
    #[must_use]
    pub fn kept(mut self) -> Option<Box<Self>> {
        for list in [&mut self.only, &mut self.ignore] {
            let all = std::mem::take(list);
            for name in all {
                if !list.contains(&name) {
                    list.push(name);
                }
            }
        }
        (!self.is_any()).then(|| Box::new(self))
    }

    /// All names that they hold, with the list that each stands in.
    pub fn names(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let lists = [("only", &self.only), ("ignore", &self.ignore)];
        lists.into_iter().flat_map(|(list, names)| names.iter().map(move |name| (list, &**name)))
    }

    /// Whether a provider may serve.
    pub fn allow(&self, provider: &str) -> bool {
        is_within(&self.only, &self.ignore, provider)
    }
}

/// By whom somebody may be served: `only by groq`, `by any provider but openai`, `by any provider, in the region eu`.
impl fmt::Display for ProviderBounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left: Vec<&str> = self.only.iter().map(|name| &**name).filter(|name| self.allow(name)).collect();
        match (&*self.only, &*self.ignore) {
            ([], []) => f.write_str("by any provider")?,
            ([], ignored) => write!(f, "by any provider but {}", ignored.join(", "))?,
            (_, _) if left.is_empty() => f.write_str("by no provider")?,
            (_, _) => write!(f, "only by {}", left.join(", "))?,
        }
        self.region.as_ref().map_or(Ok(()), |region| write!(f, ", in the region {region}"))
    }
}

fn is_within(only: &[Box<str>], ignore: &[Box<str>], provider: &str) -> bool {
    (only.is_empty() || is_in(only, provider)) && !is_in(ignore, provider)
}

fn is_in(names: &[Box<str>], provider: &str) -> bool {
    names.iter().any(|name| **name == *provider)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_say_who_may_serve() {
        let names = |listed: &str| listed.split_whitespace().map(Box::from).collect::<Vec<Box<str>>>();
        for (only, ignore, allowed, told) in [
            ("", "", "a b c", "by any provider"),
            ("b a", "", "a b", "only by b, a"),
            ("", "b", "a c", "by any provider but b"),
            ("a b", "b x", "a", "only by a"),
            ("a", "a", "", "by no provider"),
            ("A", "", "", "only by A"),
        ] {
            let bounds = ProviderBounds { only: names(only), ignore: names(ignore), region: None };
            let there = ProviderBounds { region: Some("eu".into()), ..bounds.clone() };
            assert_eq!(there.to_string(), format!("{told}, in the region eu"));
            assert!(there.kept().is_some());
            assert_eq!(bounds.clone().kept().is_none(), bounds.is_any());
            let left: Vec<&str> = ["a", "b", "c"].into_iter().filter(|name| bounds.allow(name)).collect();
            assert_eq!((left.join(" "), bounds.to_string()), (allowed.to_owned(), told.to_owned()), "{only}-{ignore}");
        }
    }
}
