//! One `[[policy]]` of a file.

use std::{
    collections::{BTreeMap, HashSet},
    num::NonZeroU32,
    ops::Range,
};

use super::{
    Budget, Class, KeyKind, Mode, OnStoreLoss, Override, Policy, Scope, Who,
    reader::{Fields, Given, Reader, listed, number, text},
};

/// Most units of a budget.
const MAX_UNITS: u32 = 1_000_000_000;
/// Longest window: a day, in seconds.
const MAX_WINDOW_S: u32 = 86_400;
/// Longest time in which an empty bucket fills: 30 days, in seconds. Longer budgets belong into rows.
const MAX_FILL_S: u64 = 30 * 86_400;
/// Longest name, characters.
const MAX_NAME: usize = 40;
/// Most entries of a list.
const MAX_LIST: usize = 10_000;
/// What budgets that are rows are called (sign-in codes): a policy of that name could not be told from them.
const OF_ROWS: &str = "otp-";

/// Where parts of a policy stand, for mistakes that show later.
pub(super) struct Lines {
    pub(super) name: Range<usize>,
}

/// Whom the lists of a policy may name.
#[derive(Clone, Copy)]
struct About<'a> {
    key: KeyKind,
    classes: &'a [Class],
}

impl About<'_> {
    fn checked(self, who: Result<Who, String>) -> Result<Who, String> {
        match who {
            Ok(Who::Class(class)) if !self.classes.contains(&class) => {
                Err("a class that the policy does not speak about".to_owned())
            }
            other => other,
        }
    }
}

/// Reads one policy. What is wrong is noted and replaced by something that makes no further mistake; `None` when too
/// little is left to go on with.
pub(super) fn policy(reader: &mut Reader, mut fields: Fields<'_>) -> Option<(Policy, Lines)> {
    let name = name(reader, &mut fields);
    let key = key(reader, &mut fields);
    let classes = classes(reader, &mut fields);
    let budget = budget(reader, &mut fields, None);
    let cost = costs(reader, &mut fields, &classes, budget);
    scope(reader, &mut fields);
    let modes = [("enforce", Mode::Enforce), ("shadow", Mode::Shadow)];
    let mode = fields.choice(reader, "mode", &modes).map_or(Mode::Enforce, |given| given.value);
    let losses = [("local", OnStoreLoss::Local), ("open", OnStoreLoss::Open), ("closed", OnStoreLoss::Closed)];
    let on_store_loss = fields.choice(reader, "on_store_loss", &losses).map_or(OnStoreLoss::Local, |given| given.value);
    // Without a kind of key nothing can be said about the lists, but there may be such lists.
    let about = key.map(|key| About { key, classes: &classes });
    let lists = [entries(reader, &mut fields, "allow", about), entries(reader, &mut fields, "deny", about)];
    let overrides = overrides(reader, &mut fields, about, budget, &cost);
    let at = fields.at.clone();
    fields.finish(reader);
    let [allow, deny] = both_ways(reader, lists);
    let lines = Lines { name: name.as_ref().map_or(at, |name| name.at.clone()) };
    let policy = Policy {
        name: name.map_or_else(String::new, |name| name.value),
        key: key?,
        classes,
        budget: budget?,
        cost,
        scope: Scope::Node,
        mode,
        on_store_loss,
        allow,
        deny,
        overrides,
    };
    Some((policy, lines))
}

fn name(reader: &mut Reader, fields: &mut Fields<'_>) -> Option<Given<String>> {
    let given = fields.text(reader, "name");
    let given = fields.required(reader, "name", "1 to 40 of a-z, 0-9 and -", given)?;
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !(1..=MAX_NAME).contains(&given.value.len()) || !given.value.bytes().all(is_plain) {
        reader.wrong(
            &given.at,
            format!("`name`: it is {:?}, allowed are 1 to {MAX_NAME} of a-z, 0-9 and -", given.value),
        );
        return None;
    }
    if given.value.starts_with(OF_ROWS) {
        reader.wrong(&given.at, format!("`name`: names that start with {OF_ROWS} are those of the sign-in budgets"));
        return None;
    }
    Some(given)
}

fn key(reader: &mut Reader, fields: &mut Fields<'_>) -> Option<KeyKind> {
    let kinds = listed(KeyKind::NAMES.iter().map(|(name, _)| name));
    let given = fields.text(reader, "key");
    let given = fields.required(reader, "key", &kinds, given)?;
    let found = KeyKind::NAMES.iter().find(|(name, _)| *name == given.value);
    match (found, given.value.as_str()) {
        (Some((_, kind)), _) => Some(*kind),
        (None, "phone") => {
            let text = "`key`: budgets of a phone are rows, so that they survive a restart: set `auth.otp_per_phone`";
            reader.wrong(&given.at, text);
            None
        }
        (None, other) => {
            reader.wrong(&given.at, format!("`key`: it is {other:?}, allowed is {kinds}"));
            None
        }
    }
}

/// The classes of a list of names, in the order of [`Class::ALL`]; all where nothing is said.
fn classes(reader: &mut Reader, fields: &mut Fields<'_>) -> Vec<Class> {
    let Ok(Some(given)) = fields.list(reader, "classes", 100) else { return Class::ALL.to_vec() };
    if given.value.is_empty() {
        reader.wrong(&given.at, "`classes`: a policy that speaks about nothing; leave `classes` out for all of them");
    }
    let mut found = Vec::new();
    for item in given.value {
        let Some(name) = text(reader, "classes", item) else { continue };
        let Some(class) = class(reader, "classes", &name) else { continue };
        if found.contains(&class) {
            reader.wrong(&name.at, format!("`classes`: {:?} is here twice", name.value));
        }
        found.push(class);
    }
    // What made no sense shall not make the costs look wrong too.
    if found.is_empty() {
        return Class::ALL.to_vec();
    }
    found.sort();
    found.dedup();
    found
}

fn class(reader: &mut Reader, key: &str, name: &Given<String>) -> Option<Class> {
    let found = Class::ALL.into_iter().find(|class| class.name() == name.value);
    if found.is_none() {
        let known = listed(Class::ALL.iter().map(|class| class.name()));
        reader.wrong(&name.at, format!("`{key}`: there is no class {:?}, allowed is {known}", name.value));
    }
    found
}

/// `quota`, `window_s` and `burst`; an override without a window has the policy's.
fn budget(reader: &mut Reader, fields: &mut Fields<'_>, of_policy: Option<Budget>) -> Option<Budget> {
    let quota = fields.number(reader, "quota", 1..=MAX_UNITS, "units a window");
    let quota = fields.required(reader, "quota", "1 to 1000000000 (units a window)", quota);
    let window = fields.number(reader, "window_s", 1..=MAX_WINDOW_S, "seconds");
    let burst = fields.number(reader, "burst", 1..=MAX_UNITS, "units at once");
    let (Some(quota), Ok(window), Ok(burst)) = (quota, window, burst) else { return None };
    let at = burst.as_ref().map_or(&quota.at, |burst| &burst.at).clone();
    let window_s = window.map_or_else(|| of_policy.map_or(1, |policy| policy.window_s.get()), |given| given.value);
    let burst = burst.map_or(quota.value, |given| given.value);
    let fill_s = u64::from(burst) * u64::from(window_s) / u64::from(quota.value);
    if fill_s > MAX_FILL_S {
        let days = fill_s / 86_400;
        let text =
            format!("`{}`: an empty bucket would need {days} days to fill, allowed are 30", fields.name("burst"));
        reader.wrong(&at, text);
        return None;
    }
    let [quota, window_s, burst] =
        [quota.value, window_s, burst].map(|n| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN));
    Some(Budget { quota, window_s, burst })
}

/// Units by class; those of one are left out.
fn costs(
    reader: &mut Reader,
    fields: &mut Fields<'_>,
    classes: &[Class],
    budget: Option<Budget>,
) -> BTreeMap<Class, u32> {
    let mut costs = BTreeMap::new();
    let Some(table) = fields.take("cost").and_then(|value| Fields::of(reader, "cost", "cost.", value)) else {
        return costs;
    };
    for (name, units) in table.rest() {
        let key = format!("cost.{}", name.value);
        let Some(class) = class(reader, "cost", &name) else { continue };
        if !classes.contains(&class) {
            reader.wrong(&name.at, format!("`{key}`: the policy does not speak about this class"));
        }
        let Some(units) = number(reader, &key, &units, 1..=MAX_UNITS, "units a request") else { continue };
        if let Some(burst) = budget.map(|budget| budget.burst.get()).filter(|burst| *burst < units.value) {
            let text = format!("`{key}`: {} is more than a burst of {burst}: it would never be admitted", units.value);
            reader.wrong(&units.at, text);
        }
        if units.value != 1 {
            costs.insert(class, units.value);
        }
    }
    costs
}

fn scope(reader: &mut Reader, fields: &mut Fields<'_>) {
    let scopes = [("node", Scope::Node), ("fleet", Scope::Fleet)];
    if let Some(Given { value: Scope::Fleet, at }) = fields.choice(reader, "scope", &scopes) {
        reader.wrong(
            &at,
            "`scope`: fleet-wide limits need a store that nodes share, and there is none yet: write \"node\"",
        );
    }
}

/// The entries of `allow` or `deny`.
fn entries(
    reader: &mut Reader,
    fields: &mut Fields<'_>,
    list: &'static str,
    about: Option<About<'_>>,
) -> Vec<Given<Who>> {
    let items = fields.list(reader, list, MAX_LIST);
    let (Ok(Some(items)), Some(about)) = (items, about) else { return Vec::new() };
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    for item in items.value {
        let Some(given) = text(reader, list, item) else { continue };
        match about.checked(Who::listed(about.key, &given.value)) {
            Ok(who) => {
                if !seen.insert(who.clone()) {
                    reader.wrong(&given.at, format!("`{list}`: {:?} is here twice", given.value));
                }
                found.push(given.map(|_| who));
            }
            Err(why) => reader.wrong(&given.at, format!("`{list}`: {:?} is {why}", given.value)),
        }
    }
    found
}

/// Nobody is allowed and denied at once.
fn both_ways(reader: &mut Reader, [allow, deny]: [Vec<Given<Who>>; 2]) -> [Vec<Who>; 2] {
    let allowed: HashSet<&Who> = allow.iter().map(|given| &given.value).collect();
    for denied in deny.iter().filter(|denied| allowed.contains(&denied.value)) {
        reader.wrong(&denied.at, format!("`deny`: {:?} is in `allow` too", denied.value.to_string()));
    }
    [allow, deny].map(|list| list.into_iter().map(|given| given.value).collect())
}

fn overrides(
    reader: &mut Reader,
    fields: &mut Fields<'_>,
    about: Option<About<'_>>,
    of_policy: Option<Budget>,
    costs: &BTreeMap<Class, u32>,
) -> Vec<Override> {
    let Ok(Some(items)) = fields.list(reader, "override", MAX_LIST) else { return Vec::new() };
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    for item in items.value {
        let Some(mut own) = Fields::of(reader, "override", "override.", item) else { continue };
        let at = own.at.clone();
        let key = own.text(reader, "key");
        let key = own.required(reader, "key", "whom it is about", key);
        let budget = budget(reader, &mut own, of_policy);
        own.finish(reader);
        let (Some(about), Some(key)) = (about, key) else { continue };
        let who = match about.checked(Who::one(about.key, &key.value)) {
            Ok(who) => who,
            Err(why) => {
                reader.wrong(&key.at, format!("`override.key`: {:?} is {why}", key.value));
                continue;
            }
        };
        if !seen.insert(who.clone()) {
            reader.wrong(&key.at, format!("`override.key`: {:?} has an override already", key.value));
        }
        let dearest = match &who {
            Who::Class(class) => costs.get(class).copied(),
            _ => costs.values().copied().max(),
        };
        let dearest = dearest.unwrap_or(1);
        let Some(budget) = budget else { continue };
        if dearest > budget.burst.get() {
            let text = format!("`override.burst`: {} is less than a request may cost, {dearest}", budget.burst);
            reader.wrong(&at, text);
        }
        found.push(Override { key: who, budget });
    }
    found
}
