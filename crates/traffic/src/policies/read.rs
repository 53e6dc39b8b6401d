//! From the text of a file to its policies: what holds between them.

use std::{collections::HashMap, ops::Range};

use super::{
    Class, MAX_FILE, MAX_POLICIES, Mistakes, Policies, Policy,
    entry::{self, Lines},
    overload,
    reader::{Fields, Reader},
};
use crate::limit::MAX_TIERS;

/// Reads and checks a whole file.
///
/// # Errors
/// Everything that is wrong with it.
pub(super) fn policies(text: &str) -> Result<Policies, Mistakes> {
    if text.len() > MAX_FILE {
        return Err(Mistakes::whole(format!("the file has {} bytes, allowed are at most {MAX_FILE}", text.len())));
    }
    let (mut reader, mut file) = Reader::open(text)?;
    let mut read: Vec<(Policy, Lines)> = Vec::new();
    let list = file.list(&mut reader, "policy", MAX_POLICIES);
    let at = file.at.start..file.at.start;
    match &list {
        Ok(Some(given)) if !given.value.is_empty() => {}
        Ok(_) => reader
            .wrong(&at, "no [[policy]]: such a file would admit everything; to refuse nothing, write shadow policies"),
        Err(_) => {}
    }
    for (index, item) in list.ok().flatten().into_iter().flat_map(|given| given.value).enumerate() {
        let name = format!("policy {}", index + 1);
        if let Some(fields) = Fields::of(&mut reader, &name, "", item) {
            read.extend(entry::policy(&mut reader, fields));
        }
    }
    let overload = overload::overload(&mut reader, &mut file);
    file.finish(&mut reader);
    names_are_unique(&mut reader, &read);
    no_decision_has_too_many(&mut reader, &read);
    reader.close(Policies { overload, list: read.into_iter().map(|(policy, _)| policy).collect() })
}

fn names_are_unique(reader: &mut Reader, read: &[(Policy, Lines)]) {
    let mut seen: HashMap<&str, &Range<usize>> = HashMap::new();
    for (policy, lines) in read.iter().filter(|(policy, _)| !policy.name.is_empty()) {
        if seen.insert(&policy.name, &lines.name).is_some() {
            reader.wrong(&lines.name, format!("`name`: another policy is called {:?} already", policy.name));
        }
    }
}

/// One decision takes the policies of a class that are about addresses, another one the rest.
fn no_decision_has_too_many(reader: &mut Reader, read: &[(Policy, Lines)]) {
    for class in Class::ALL {
        for is_address in [true, false] {
            let of_decision =
                read.iter().filter(|(p, _)| p.classes.contains(&class) && p.key.is_address() == is_address);
            if let Some((policy, lines)) = of_decision.clone().nth(MAX_TIERS) {
                let kind = if is_address { "address policies" } else { "policies with another key than the address" };
                let text = format!(
                    "`{}`: allowed are at most {MAX_TIERS} {kind} for one class, and `{}` has {}",
                    policy.name,
                    class.name(),
                    of_decision.count()
                );
                reader.wrong(&lines.name, text);
            }
        }
    }
}
