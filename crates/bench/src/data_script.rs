//! What a gateway executes on PostgreSQL for `POST /v1/rides` and for what follows it, read from the server's own log and made
//! into a script of pgbench: so it cannot differ from what the product does.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    time::Duration,
};

use clusters::{Binaries, Cluster, Options};

use crate::{
    client::{Client, Passenger},
    clock,
    duel::SETTINGS,
    gateway::Gateway,
    main_flow::Places,
    pgbench::{Peers, Pgbench},
    postgres::Hand,
    server_log::{Executed, in_order, of_sessions, texts},
};

/// Longer than the period of every background task that runs more than once in a measurement.
const IDLE: Duration = Duration::from_secs(6);
/// Time for the last statement to reach the log, also on a busy machine.
const LATE: Duration = Duration::from_secs(1);
/// Requests that are recorded. What differs between them is no constant of the product.
const REQUESTS: usize = 8;
/// Numbers of thirteen digits are times.
const TIMES: std::ops::Range<i64> = 1_000_000_000_000..10_000_000_000_000;

/// A transaction of pgbench that is one request.
pub(crate) struct Script {
    /// Statements and the arithmetic of their values.
    pub(crate) text: String,
    /// Values that every request has, by the name that the text has for them.
    pub(crate) constants: Vec<(String, String)>,
    /// How many statements there are, without `BEGIN` and `COMMIT`.
    pub(crate) statements: usize,
    /// How many transactions write.
    pub(crate) transactions: usize,
}

/// A request that was recorded.
struct Recorded {
    /// What the request is about, by the name that the script has for it.
    known: [(&'static str, String); 5],
    now_ms: i64,
    executed: Vec<Executed>,
}

/// Records requests on a server of its own, makes the script and sees that the server executes the same for it.
///
/// # Errors
/// In words; also when the server's log has something else for the script than for the gateway.
pub(crate) async fn record(places: &Places, binaries: &Binaries) -> Result<Script, String> {
    let settings = vec![("log_statement".to_owned(), "all".to_owned())];
    let options = Options { durable: false, settings };
    let cluster = Cluster::start(binaries, &options).map_err(|error| error.to_string())?;
    let database = cluster.server().create_database(None).map_err(|error| error.to_string())?;
    let dsn = database.dsn();
    let settings: Vec<_> = SETTINGS.into_iter().chain([("GATEWAY__STORE__SHARDS", &*dsn)]).collect();
    let gateway = Gateway::start(&places.gateway, &places.folder("rides-recorded"), &settings).await?;
    let client = Client::new(gateway.url())?;
    let passengers = client.passengers(0, REQUESTS).await?;
    let hand = Hand::open(&dsn).await?;
    let own = hand.number("SELECT pg_backend_pid()::bigint").await?.to_string();
    let mut seen = 0;
    let mut since = || {
        let log = cluster.log();
        let new = of_sessions(&log[seen..], database.name(), &own);
        seen = log.len();
        new
    };
    let _ = since();
    tokio::time::sleep(IDLE).await;
    let background: BTreeSet<String> = since().into_iter().map(|executed| executed.text).collect();

    let mut recorded = Vec::new();
    for passenger in &passengers {
        let now_ms = clock::unix_ms();
        let ride = client.request(std::slice::from_ref(passenger), 1).await?;
        hand.settled(&["outbox"]).await?;
        tokio::time::sleep(LATE).await;
        let known = known(passenger, ride[0].id());
        recorded.push(Recorded { known, now_ms, executed: in_order(since(), &background)? });
        // Nobody looks after this one while the next is recorded.
        hand.run("UPDATE rides SET status = 11, due_at = NULL WHERE status < 10").await?;
    }
    gateway.stop().await?;
    let usual = usual(recorded)?;
    let script = Script::of(&usual)?;

    let peers = Peers { count: REQUESTS as u32, first_ms: clock::unix_ms() };
    hand.run(&peers.insert()).await?;
    let pgbench = Pgbench::new(binaries, &dsn, &script, &places.folder("rides-recorded"), &peers)?;
    let _ = since();
    pgbench.run(REQUESTS, 1).await?;
    tokio::time::sleep(LATE).await;
    hand.close().await;
    let (ours, theirs) = (texts(&since()), texts(&usual[0].executed));
    let differences: Vec<String> = ours
        .keys()
        .chain(theirs.keys())
        .collect::<BTreeSet<_>>()
        .into_iter()
        .filter_map(|text| {
            let times = |all: &BTreeMap<String, usize>| all.get(text).copied().unwrap_or(0);
            let (ours, theirs) = (times(&ours), times(&theirs) * REQUESTS);
            (ours != theirs).then(|| format!("gateway {theirs} times, pgbench {ours} times: {text}"))
        })
        .collect();
    if differences.is_empty() {
        Ok(script)
    } else {
        Err(format!("pgbench does not execute what the gateway does:\n  {}", differences.join("\n  ")))
    }
}

fn known(passenger: &Passenger, ride: &str) -> [(&'static str, String); 5] {
    [
        ("shard", (passenger.id & 1023).to_string()),
        ("passenger", passenger.id.to_string()),
        ("quote", passenger.quote_id.to_string()),
        ("ride", ride.to_owned()),
        // Of other characters in the script, where texts cannot be put together.
        ("quote", passenger.key()),
    ]
}

/// Those of the requests that executed the same in the same order, of those for which the same was executed. These must be
/// most: who is woken once more than needed may differ, and when the simulated dispatch looks at the ride.
fn usual(recorded: Vec<Recorded>) -> Result<Vec<Recorded>, String> {
    let all = recorded.len();
    let usual = most(recorded, |one| texts(&one.executed));
    let count = usual.len();
    let same = most(usual, |one| one.executed.iter().map(|executed| executed.text.clone()).collect::<Vec<_>>());
    match count * 2 > all && same.len() > 1 {
        true => Ok(same),
        false => Err(format!("of {all} requests only {count} executed the same, and {} in one order", same.len())),
    }
}

/// Those that have the most frequent key.
fn most<K: Ord>(recorded: Vec<Recorded>, key: impl Fn(&Recorded) -> K) -> Vec<Recorded> {
    let mut groups: BTreeMap<K, Vec<Recorded>> = BTreeMap::new();
    for one in recorded {
        groups.entry(key(&one)).or_default().push(one);
    }
    groups.into_values().max_by_key(Vec::len).unwrap_or_default()
}

impl Script {
    fn of(recorded: &[Recorded]) -> Result<Self, String> {
        let first = recorded.first().ok_or("nothing was recorded")?;
        let (mut body, mut constants, mut times) = (String::new(), Vec::new(), BTreeSet::new());
        for (place, executed) in first.executed.iter().enumerate() {
            let mut text = executed.text.clone();
            // From the last one on: `$1` is the beginning of `$12`.
            for number in (0..executed.values.len()).rev() {
                let all =
                    || recorded.iter().map(|one| (one, one.executed[place].values.get(number).cloned().flatten()));
                let name = match all().next().and_then(|(_, value)| value) {
                    None => "NULL".to_owned(),
                    Some(value) => match variable(&mut all()) {
                        Some(Variable::Known(name)) => format!(":{name}"),
                        Some(Variable::Time(later_s)) => {
                            times.insert(later_s);
                            format!(":now_{later_s}")
                        }
                        None => {
                            let name = format!("c{place}_{number}");
                            constants.push((name.clone(), value));
                            format!(":{name}")
                        }
                    },
                };
                text = text.replace(&format!("${}", number + 1), &name);
            }
            let _ = writeln!(body, "{text};");
        }
        let mut text = Peers::ARITHMETIC.to_owned();
        for later_s in times {
            let _ = writeln!(text, "\\set now_{later_s} :now + {later_s} * 1000");
        }
        let count = |wanted: &str| first.executed.iter().filter(|executed| executed.text == wanted).count();
        let transactions = count("COMMIT");
        let statements = first.executed.len() - count("BEGIN") - transactions;
        Ok(Self { text: text + &body, constants, statements, transactions })
    }
}

enum Variable {
    Known(&'static str),
    /// So many seconds after the request.
    Time(i64),
}

/// What a value is that was recorded for several requests, if it is no constant.
fn variable(all: &mut dyn Iterator<Item = (&Recorded, Option<String>)>) -> Option<Variable> {
    let all: Vec<(&Recorded, String)> = all.map(|(one, value)| Some((one, value?))).collect::<Option<_>>()?;
    let first = all.first()?.0;
    for (place, (name, _)) in first.known.iter().enumerate() {
        if all.iter().all(|(one, value)| one.known[place].1 == *value) {
            return Some(Variable::Known(name));
        }
    }
    let later = |(one, value): &(&Recorded, String)| {
        let time: i64 = value.parse().ok().filter(|time| TIMES.contains(time))?;
        (time >= one.now_ms).then_some(time - one.now_ms)
    };
    let later: Vec<i64> = all.iter().map(later).collect::<Option<_>>()?;
    // To the second: the rest is what the gateway needed.
    Some(Variable::Time(later.into_iter().min()? / 1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(number: i64) -> Recorded {
        let known = ["7", "70", "71", "72", "bench-71"].map(|value| format!("{value}{number}"));
        let [shard, passenger, quote, ride, key] = known;
        let now_ms = 1_800_000_000_000 + number * 777;
        let values = [&shard, &ride, "1", &key, &(now_ms + 6_012).to_string(), &format!("{{\"a\":{number}}}")];
        let mut values: Vec<Option<String>> = values.into_iter().map(|value| Some(value.to_string())).collect();
        values.push(None);
        let text = "INSERT INTO t VALUES ($1, $2, $3, $4, $5, $6, $7)".to_owned();
        let plain = |text: &str| Executed { session: String::new(), text: text.to_owned(), values: vec![] };
        let insert = Executed { session: String::new(), text, values };
        let known = [("shard", shard), ("passenger", passenger), ("quote", quote), ("ride", ride), ("quote", key)];
        Recorded { known, now_ms, executed: vec![plain("BEGIN"), insert, plain("COMMIT")] }
    }

    #[test]
    fn what_a_request_is_about_becomes_a_variable_and_the_rest_a_constant() {
        let script = Script::of(&[one(100), one(200)]).unwrap();
        let end = "BEGIN;\nINSERT INTO t VALUES (:shard, :ride, :c1_2, :quote, :now_6, :c1_5, NULL);\nCOMMIT;\n";
        assert!(script.text.ends_with(&format!("\\set now_6 :now + 6 * 1000\n{end}")), "{}", script.text);
        let constants =
            [("c1_5", "{\"a\":100}"), ("c1_2", "1")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(script.constants, constants);
        assert_eq!((script.statements, script.transactions), (1, 1));
    }

    #[test]
    fn the_usual_order_is_taken_and_without_one_there_is_no_script() {
        let odd = |number| {
            let mut odd = one(number);
            odd.executed.pop();
            odd
        };
        let another_order = |number| {
            let mut another = one(number);
            another.executed.swap(0, 1);
            another
        };
        let found = usual(vec![odd(1), one(2), another_order(3), one(4), odd(5)]).unwrap();
        assert_eq!(found.iter().map(|one| &*one.known[0].1).collect::<Vec<_>>(), ["72", "74"]);
        assert!(usual(vec![odd(1), one(2), odd(3), one(4)]).is_err(), "which of them is usual?");
        assert!(usual(vec![one(100)]).is_err(), "what is a constant?");
    }
}
