//! Whether a statement says in which shard it looks.

/// What is wrong with a statement; `None`: nothing.
pub(super) fn finding(statement: &str) -> Option<String> {
    let words = words(statement);
    let broken = match words.first().copied().unwrap_or_default().to_uppercase().as_str() {
        "INSERT" => insert(&words),
        "SELECT" | "UPDATE" | "DELETE" => query(&words),
        other => Some(format!("nobody knows what {other} does")),
    };
    broken.or_else(|| {
        let sets = words.iter().position(|word| is(word, "SET"))?;
        let assigned =
            words[sets..].windows(2).any(|pair| ["SET", ","].iter().any(|w| is(pair[0], w)) && pair[1] == "shard");
        assigned.then(|| "it updates the shard".to_owned())
    })
}

/// Names with their dots, parameters, numbers, and each other sign by itself.
fn words(statement: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = statement.trim_start();
    while let Some(first) = rest.chars().next() {
        let is_text = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '$');
        let end = match first {
            '\'' => rest[1..].find('\'').map_or(rest.len(), |end| end + 2),
            _ if is_text(first) => rest.find(|c| !is_text(c)).unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        words.push(&rest[..end]);
        rest = rest[end..].trim_start();
    }
    words
}

fn is(word: &str, keyword: &str) -> bool {
    word.eq_ignore_ascii_case(keyword)
}

fn is_parameter(word: &str) -> bool {
    word.strip_prefix('$').is_some_and(|number| !number.is_empty() && number.chars().all(|c| c.is_ascii_digit()))
}

fn is_shard(word: &str) -> bool {
    word == "shard" || word.ends_with(".shard")
}

/// The first column is the shard, and the first value of each row a parameter.
fn insert(words: &[&str]) -> Option<String> {
    let columns = words.iter().position(|word| *word == "(")?;
    if words.get(columns + 1) != Some(&"shard") {
        return Some("its first column is not the shard".to_owned());
    }
    let Some(values) = words.iter().position(|word| is(word, "VALUES")) else {
        return Some("it inserts what it selects".to_owned());
    };
    let mut depth = 0;
    for pair in words[values..].windows(2) {
        match pair[0] {
            "(" if depth == 0 && !is_parameter(pair[1]) => return Some("a shard is not a parameter".to_owned()),
            "(" => depth += 1,
            ")" => depth -= 1,
            // What happens on a conflict happens to the same row.
            word if is(word, "ON") && depth == 0 => return None,
            _ => {}
        }
    }
    None
}

/// One of the conditions that all have to hold is `shard = $n`; in a query within another it may be the other's shard.
fn query(words: &[&str]) -> Option<String> {
    if words.iter().any(|word| is(word, "JOIN") || is(word, "WITH") || is(word, "UNION")) {
        return Some("nobody knows how to read it".to_owned());
    }
    let conditions = conditions(words);
    let says = |condition: &&[&str]| matches!(condition, [a, "=", b] if is_shard(a) && is_parameter(b));
    if !conditions.iter().any(|condition| says(&&condition[..])) {
        return Some("it does not say `shard = $n`".to_owned());
    }
    inner_queries(words).into_iter().find_map(|inner| {
        let conditions = self::conditions(inner);
        let follows =
            |condition: &[&str]| matches!(condition, [a, "=", b] if is_shard(a) && (is_shard(b) || is_parameter(b)));
        (!conditions.iter().any(|condition| follows(condition)))
            .then(|| "a query within it leaves the shard".to_owned())
    })
}

/// The parts of a WHERE that are joined by AND, without the brackets around each; none when some are joined by OR.
fn conditions<'w>(words: &'w [&'w str]) -> Vec<&'w [&'w str]> {
    let (mut depth, mut begin, mut found) = (0, None, Vec::new());
    for (at, word) in words.iter().enumerate() {
        match *word {
            "(" => depth += 1,
            ")" => depth -= 1,
            _ if depth > 0 => {}
            word if begin.is_none() && is(word, "WHERE") => begin = Some(at + 1),
            word if begin.is_some() && is(word, "OR") => return Vec::new(),
            word if ["AND", "ORDER", "GROUP", "LIMIT", "FOR", "RETURNING"].iter().any(|end| is(word, end)) => {
                if let Some(from) = begin {
                    found.push(&words[from..at]);
                    if !is(word, "AND") {
                        return found.into_iter().flat_map(within).collect();
                    }
                    begin = Some(at + 1);
                }
            }
            _ => {}
        }
    }
    found.extend(begin.map(|from| &words[from..]));
    found.into_iter().flat_map(within).collect()
}

/// A condition in brackets is a list of conditions.
fn within<'w>(condition: &'w [&'w str]) -> Vec<&'w [&'w str]> {
    let Some(inner) = condition.strip_prefix(&["("]).and_then(|rest| rest.strip_suffix(&[")"])) else {
        return vec![condition];
    };
    let (mut depth, mut begin, mut found) = (0, 0, Vec::new());
    for (at, word) in inner.iter().enumerate() {
        match *word {
            "(" => depth += 1,
            ")" => depth -= 1,
            _ if depth > 0 => {}
            word if is(word, "OR") => return vec![condition],
            word if is(word, "AND") => {
                found.push(&inner[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
        // Two brackets side by side are not one around all.
        if depth < 0 {
            return vec![condition];
        }
    }
    found.push(&inner[begin..]);
    found
}

/// What stands in brackets and begins with SELECT.
fn inner_queries<'w>(words: &'w [&'w str]) -> Vec<&'w [&'w str]> {
    let begins = words.windows(2).enumerate().filter(|(_, pair)| pair[0] == "(" && is(pair[1], "SELECT"));
    begins
        .map(|(at, _)| {
            let mut depth = 0;
            let end = words[at..].iter().position(|word| {
                depth += i32::from(*word == "(") - i32::from(*word == ")");
                depth == 0
            });
            &words[at + 1..end.map_or(words.len(), |end| at + end)]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_that_says_its_shard_is_as_it_should_be() {
        for statement in [
            "SELECT rides.id FROM rides WHERE rides.shard = $1 AND rides.id = $2",
            "SELECT id FROM rides WHERE (rides.shard = $1 AND rides.id = $2) AND passenger_id = $3 FOR NO KEY UPDATE",
            "SELECT id FROM rides WHERE rides.shard = $1 AND status < 10 ORDER BY id DESC LIMIT $2",
            "UPDATE rides SET status = $1, version = $2 WHERE rides.shard = $3 AND rides.version = $4",
            "UPDATE outbox SET attempts = outbox.attempts + $1 WHERE outbox.shard = $2 AND seq = $3",
            "DELETE FROM payments WHERE payments.shard = $1 AND payments.status IN ($2, $3)",
            "INSERT INTO payments (shard, ride_id) VALUES ($1, $2), ($3, $4) ON CONFLICT DO NOTHING",
            "INSERT INTO a (shard, b) VALUES ($1, $2) ON CONFLICT (shard, b) DO UPDATE SET b = excluded.b WHERE a.b <= $3",
            "SELECT id FROM a WHERE shard = $1 AND NOT EXISTS (SELECT 1 FROM b WHERE b.shard = a.shard AND b.id = a.id)",
        ] {
            assert_eq!(finding(statement), None, "{statement}");
        }
    }

    #[test]
    fn a_statement_that_leaves_its_shard_open_is_found() {
        for (statement, why) in [
            ("SELECT id FROM rides", "does not say"),
            ("SELECT id FROM rides WHERE id = $1", "does not say"),
            ("SELECT id FROM rides WHERE shard = 17 AND id = $1", "does not say"),
            ("SELECT id FROM rides WHERE shard = $1 + 1", "does not say"),
            ("SELECT id FROM rides WHERE shard = $1 & $2 AND id = $3", "does not say"),
            ("SELECT id FROM rides WHERE (id & 1023) = $1", "does not say"),
            ("SELECT id FROM rides WHERE shard = $1 OR id = $2", "does not say"),
            ("SELECT id FROM rides WHERE (shard = $1 AND id = $2) OR (shard = $3 AND id = $4)", "does not say"),
            ("SELECT id FROM rides WHERE (shard = $1 OR id = $2) AND a = $3", "does not say"),
            ("SELECT id FROM rides WHERE shard IN ($1, $2)", "does not say"),
            ("UPDATE rides SET shard = $1 WHERE shard = $2", "updates the shard"),
            ("UPDATE rides SET id = $1, shard = $2 WHERE shard = $3", "updates the shard"),
            ("DELETE FROM sessions WHERE expires_at <= $1", "does not say"),
            ("INSERT INTO rides (id, shard) VALUES ($1, $2)", "first column"),
            ("INSERT INTO rides (shard, id) VALUES ($1, $2), (17, $3)", "not a parameter"),
            ("INSERT INTO rides (shard, id) SELECT shard, id FROM quotes", "what it selects"),
            ("SELECT a FROM b WHERE shard = $1 AND EXISTS (SELECT 1 FROM c WHERE c.id = b.id)", "within it leaves"),
            ("SELECT a FROM b JOIN c ON b.id = c.id WHERE b.shard = $1", "how to read"),
            ("TRUNCATE rides", "TRUNCATE"),
        ] {
            let found = finding(statement).unwrap_or_default();
            assert!(found.contains(why), "{statement}: {found:?}");
        }
    }
}
