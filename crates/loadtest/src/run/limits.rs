//! The server's policies, and whether what it admitted is within them.
//!
//! When the server decided is not known here, only that it was between the moments at which a request was sent and its
//! answer was there. So only what was sent *and* answered within a stretch of time is held against what the policy
//! allows in that stretch, `burst + rate · t`, and every stretch of a grid is looked at. What this finds was certainly too much.

use std::{collections::BTreeMap, net::Ipv4Addr};

use serde_json::Value;

use super::{
    book::Admitted,
    crowd::address,
    kinds::{Kind, Routes},
    outcome::PolicyRow,
};

/// Steps of the grid at most.
const GRID: usize = 600;
/// The finest grid, milliseconds.
const FINEST_MS: u32 = 100;

/// A policy, as far as it says how much.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Policy {
    name: String,
    key: String,
    /// Units of a request, by class; a class that is not here is not its business.
    costs: BTreeMap<String, u64>,
    budget: Budget,
    overrides: BTreeMap<String, Budget>,
    /// Whom it does not count.
    allow: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Budget {
    quota: u64,
    window_s: u64,
    burst: u64,
}

/// A key's admitted units.
#[derive(Default)]
struct Used {
    units: u64,
    /// Step of the grid in which it was sent and in which it was answered, and units.
    requests: Vec<(usize, usize, u64)>,
}

/// The most that a key came to, against what was allowed there.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Worst {
    admitted: f64,
    allowed: f64,
}

/// The enforced policies of what `GET /internal/v1/traffic/policies` answers.
///
/// # Errors
/// What is missing in it, in words.
pub(crate) fn read(answer: &Value) -> Result<Vec<Policy>, String> {
    let list = find_list(answer).ok_or("the answer has no list of policies")?;
    let enforced = list.iter().filter(|policy| policy["mode"] != "shadow");
    enforced.map(Policy::read).collect()
}

/// The array under the name `policy` or `policies`, wherever it is.
fn find_list(value: &Value) -> Option<&Vec<Value>> {
    let members = value.as_object()?;
    let named = members.iter().filter(|(name, _)| matches!(name.as_str(), "policy" | "policies"));
    named.map(|(_, member)| member).find_map(|member| member.as_array().or_else(|| find_list(member)))
}

impl Policy {
    fn read(value: &Value) -> Result<Self, String> {
        let text =
            |name: &str| value[name].as_str().map(str::to_owned).ok_or_else(|| format!("a policy without `{name}`"));
        let name = text("name")?;
        let words = |member: &str| -> Vec<String> {
            let list = value[member].as_array().into_iter().flatten();
            list.filter_map(|item| item.as_str().map(str::to_owned)).collect()
        };
        let of_class = |class: String| {
            let cost = value["cost"][&class].as_u64().unwrap_or(1);
            (class, cost)
        };
        let overrides = value["override"].as_array().into_iter().flatten();
        let overrides = overrides.map(|one| {
            let key = one["key"].as_str().ok_or_else(|| format!("policy `{name}`: an override without `key`"))?;
            Ok((key.to_owned(), Budget::read(one, &name)?))
        });
        Ok(Self {
            key: text("key")?,
            costs: words("classes").into_iter().map(of_class).collect(),
            budget: Budget::read(value, &name)?,
            overrides: overrides.collect::<Result<_, String>>()?,
            allow: words("allow"),
            name,
        })
    }

    /// Holds what was admitted against it.
    pub(crate) fn verify(&self, admitted: &[Admitted], routes: &Routes) -> PolicyRow {
        let end = admitted.iter().map(|a| a.ended_ms).max().unwrap_or_default();
        let step_ms = FINEST_MS.max(end / GRID as u32 + 1);
        let steps = (end / step_ms) as usize + 1;
        let mut keys: BTreeMap<String, Used> = BTreeMap::new();
        for one in admitted {
            let class = routes.class(one.kind);
            let (Some(cost), Some(key)) = (self.costs.get(class), self.key_of(one, class)) else { continue };
            let used = keys.entry(key).or_default();
            used.units += cost;
            let step = |ms: u32| (ms / step_ms) as usize;
            used.requests.push((step(one.sent_ms), step(one.ended_ms), *cost));
        }
        let mut row = PolicyRow {
            policy: self.name.clone(),
            key: self.key.clone(),
            quota: self.budget.quota,
            window_s: self.budget.window_s,
            burst: self.budget.burst,
            keys: keys.len() as u64,
            admitted: keys.values().map(|used| used.units).sum(),
            ..PolicyRow::default()
        };
        let mut most = 0.0;
        for (key, used) in keys {
            let budget = self.overrides.get(&key).copied().unwrap_or_else(|| self.most_generous());
            let worst = used.worst(budget, steps, f64::from(step_ms) / 1000.0);
            let share = worst.admitted / worst.allowed;
            if share > most {
                most = share;
                row.worst_key = Some(key);
                (row.worst_admitted, row.worst_allowed) = (Some(worst.admitted), Some(worst.allowed));
                row.over = (share - 1.0).max(0.0);
            }
        }
        row
    }

    /// A passenger's or device's id is not known here: whoever has a budget of their own could be any of them.
    fn most_generous(&self) -> Budget {
        match self.key.as_str() {
            "passenger" | "device" => self.overrides.values().copied().fold(self.budget, |most, one| Budget {
                quota: if one.rate() > most.rate() { one.quota } else { most.quota },
                window_s: if one.rate() > most.rate() { one.window_s } else { most.window_s },
                burst: one.burst.max(most.burst),
            }),
            _ => self.budget,
        }
    }

    /// Whose units a request takes; none when the policy does not count it, or counts nobody of whom this tool knows.
    fn key_of(&self, one: &Admitted, class: &str) -> Option<String> {
        let is_person = matches!(self.key.as_str(), "passenger" | "device");
        if is_person && !self.allow.is_empty() {
            return None;
        }
        let key = match self.key.as_str() {
            "address" => address(one.source).to_string(),
            "passenger" | "device" => format!("passenger {}", one.who?),
            "class" => class.to_owned(),
            "global" => "everything".to_owned(),
            _ => return None,
        };
        let is_allowed = match self.key.as_str() {
            "address" => self.allow.iter().any(|net| is_in(address(one.source), net)),
            _ => self.allow.contains(&key),
        };
        (!is_allowed).then_some(key)
    }
}

impl Budget {
    fn read(value: &Value, policy: &str) -> Result<Self, String> {
        let number = |name: &str| {
            let number = value[name].as_u64().filter(|number| *number > 0);
            number.ok_or_else(|| format!("policy `{policy}` without `{name}`"))
        };
        Ok(Self { quota: number("quota")?, window_s: number("window_s")?, burst: number("burst")? })
    }

    /// Units a second.
    fn rate(self) -> f64 {
        self.quota as f64 / self.window_s as f64
    }
}

impl Used {
    /// Over all stretches from the beginning of one step to the end of another.
    fn worst(&self, budget: Budget, steps: usize, step_s: f64) -> Worst {
        let allowed = |steps: usize| budget.burst as f64 + budget.rate() * steps as f64 * step_s;
        let mut worst = Worst { admitted: self.units as f64, allowed: allowed(steps) };
        if self.units <= budget.burst {
            return worst;
        }
        let mut by_sent: Vec<Vec<(usize, u64)>> = vec![Vec::new(); steps];
        for (sent, ended, units) in &self.requests {
            by_sent[*sent].push((*ended, *units));
        }
        // Units by the step of their answer, of all requests sent in this step or later.
        let mut answered = vec![0; steps];
        for from in (0..steps).rev() {
            for (ended, units) in &by_sent[from] {
                answered[*ended] += units;
            }
            let mut inside = 0;
            for (to, units) in answered.iter().enumerate().skip(from) {
                inside += units;
                let (admitted, allowed) = (inside as f64, allowed(to - from + 1));
                if admitted * worst.allowed > worst.admitted * allowed {
                    worst = Worst { admitted, allowed };
                }
            }
        }
        worst
    }
}

/// Whether an address is in a CIDR (or is that address).
fn is_in(address: Ipv4Addr, net: &str) -> bool {
    let (network, bits) = net.split_once('/').unwrap_or((net, "32"));
    let (Ok(network), Ok(bits)) = (network.parse::<Ipv4Addr>(), bits.parse::<u32>()) else { return false };
    let mask = u32::MAX.checked_shl(32 - bits.min(32)).unwrap_or_default();
    address.to_bits() & mask == network.to_bits() & mask
}

/// Takes over class and priority of every route from what `GET /internal/v1/traffic/routes` answers.
///
/// # Errors
/// What is missing in it, in words.
pub(crate) fn learn_routes(routes: &mut Routes, answer: &Value) -> Result<(), String> {
    let list = answer.as_array().or_else(|| answer["routes"].as_array()).ok_or("the answer has no list of routes")?;
    for route in list {
        let text = |name: &str| route[name].as_str().ok_or_else(|| format!("a route without `{name}`"));
        let priority = route["priority"].as_u64().ok_or("a route without `priority`")?;
        routes.learn(text("method")?, text("path")?, text("class")?, priority)?;
    }
    let known = |kind: &Kind| list.iter().any(|route| route["path"] == kind.path() && route["method"] == kind.method());
    match Kind::ALL.iter().find(|kind| !known(kind)) {
        Some(kind) => Err(format!("the server has no route {}", kind.route())),
        None => Ok(()),
    }
}

#[cfg(test)]
#[path = "limits_test.rs"]
mod tests;
