use super::*;
use crate::GateMode;

/// A file that is fine, to be spoilt.
const GOOD: &str = r#"
[[policy]]
name = "address"
key = "address"
classes = ["quote", "request"]
quota = 100
window_s = 2
burst = 50
cost = { request = 5 }
scope = "node"
mode = "shadow"
on_store_loss = "closed"
allow = ["10.0.0.0/8", "2001:db8::/32", "192.0.2.1"]
deny = ["203.0.113.0/24"]
override = [
    { key = "198.51.100.7", quota = 10 },
    { key = "2001:db8:1::9", quota = 10, window_s = 60, burst = 7 },
]

[[policy]]
name = "passenger"
key = "passenger"
quota = 5
deny = ["12"]

[overload]
mode = "shadow"
shares = [1, 0.5, 0.5, 0.5, 0.1]
min_limit = 3
tolerance = 4
"#;

fn number(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).unwrap()
}

/// What is wrong with a text, a line each.
fn told(text: &str) -> Vec<String> {
    Policies::parse(text).expect_err("refused").iter().map(ToString::to_string).collect()
}

/// What is wrong with the good file once `line` of it (from 1) says something else.
fn told_with(line: usize, other: &str) -> Vec<String> {
    let mut lines: Vec<&str> = GOOD.lines().collect();
    lines[line - 1] = other;
    told(&lines.join("\n"))
}

#[test]
fn everything_that_a_file_says_is_taken() {
    let policies = Policies::parse(GOOD).unwrap();
    let [address, passenger] = &policies.list[..] else { panic!("{policies:?}") };
    assert_eq!(address.classes, [Class::Quote, Class::Request]);
    assert_eq!(address.budget, Budget { quota: number(100), window_s: number(2), burst: number(50) });
    assert_eq!([Class::Quote, Class::Request].map(|class| address.cost_of(class)), [1, 5]);
    assert_eq!((address.mode, address.on_store_loss), (Mode::Shadow, OnStoreLoss::Closed));
    assert_eq!(
        address.allow.iter().map(Who::to_string).collect::<Vec<_>>(),
        ["10.0.0.0/8", "2001:db8::/32", "192.0.2.1"]
    );
    let own: Vec<_> = address.overrides.iter().map(|own| (own.key.to_string(), own.budget)).collect();
    let budget = |window_s, burst| Budget { quota: number(10), window_s: number(window_s), burst: number(burst) };
    assert_eq!(own, [("198.51.100.7".to_owned(), budget(2, 10)), ("2001:db8:1::/64".to_owned(), budget(60, 7))]);
    let overload = GateConfig {
        mode: GateMode::Shadow,
        shares: [1.0, 0.5, 0.5, 0.5, 0.1],
        min_limit: 3,
        tolerance: 4.0,
        ..GateConfig::default()
    };
    assert_eq!(policies.overload, overload);
    // What is left out.
    assert_eq!(passenger.classes, Class::ALL);
    assert_eq!(passenger.budget, Budget { quota: number(5), window_s: number(1), burst: number(5) });
    assert_eq!((passenger.mode, passenger.cost_of(Class::Ride)), (Mode::Enforce, 1));
    let costs: Vec<_> = policies.of_class(Class::Request).map(|(policy, cost)| (policy.name.as_str(), cost)).collect();
    assert_eq!(costs, [("address", 5), ("passenger", 1)]);
}

#[test]
fn the_shipped_file_is_what_is_built_in_and_valid() {
    let built_in = Policies::built_in();
    assert_eq!(built_in.overload, GateConfig::default());
    let names: Vec<String> = built_in.list.into_iter().map(|policy| policy.name).collect();
    assert_eq!(names, ["address", "address-open", "passenger", "device", "class", "global"]);
}

#[test]
fn the_example_in_the_shipped_files_head_is_a_policy() {
    let example = SHIPPED.lines().skip_while(|line| !line.starts_with("#   [[policy]]"));
    let example = example.take_while(|line| line.starts_with("#   ")).map(|line| &line[4..]);
    let policies = Policies::parse(&example.collect::<Vec<_>>().join("\n")).unwrap_or_else(|m| panic!("{m}"));
    assert_eq!((policies.list.len(), policies.list[0].overrides.len()), (1, 1));
}

/// Every kind of mistake: the line of the good file, what it says instead, and what is told.
#[test]
fn a_file_with_each_kind_of_mistake_is_refused_whole_with_the_line_named() {
    let classes = "sign_in, quote, request, ride, history, profile, catalogue";
    let mut wrong = Vec::new();
    for (line, other, expected) in [
        (2, "[[polcy]]", "line 2: `polcy`: no such key; there are policy, overload"),
        (2, "[[policy]", "line 2: not TOML: unclosed array table, expected `]`"),
        (3, "", "line 2: `name`: is missing, allowed is 1 to 40 of a-z, 0-9 and -"),
        (3, "name = 7", "line 3: `name`: it is a whole number, allowed is a text in quotes"),
        (3, "name = \"Address\"", "line 3: `name`: it is \"Address\", allowed are 1 to 40 of a-z, 0-9 and -"),
        (3, "name = \"\"", "line 3: `name`: it is \"\", allowed are 1 to 40 of a-z, 0-9 and -"),
        (3, "name = \"passenger\"", "line 21: `name`: another policy is called \"passenger\" already"),
        (3, "name = \"otp-mine\"", "line 3: `name`: names that start with otp- are those of the sign-in budgets"),
        (4, "", "line 2: `key`: is missing, allowed is address, passenger, device, class, global"),
        (
            4,
            "key = \"adress\"",
            "line 4: `key`: it is \"adress\", allowed is address, passenger, device, class, global",
        ),
        (
            4,
            "key = \"phone\"",
            "line 4: `key`: budgets of a phone are rows, so that they survive a restart: set `auth.otp_per_phone`",
        ),
        (
            5,
            "classes = []",
            "line 5: `classes`: a policy that speaks about nothing; leave `classes` out for all of them",
        ),
        (5, "classes = \"quote\"", "line 5: `classes`: it is a text, allowed is a list"),
        (
            5,
            "classes = [\"request\", \"quotes\"]",
            &format!("line 5: `classes`: there is no class \"quotes\", allowed is {classes}"),
        ),
        (5, "classes = [\"request\", \"request\"]", "line 5: `classes`: \"request\" is here twice"),
        (6, "", "line 2: `quota`: is missing, allowed is 1 to 1000000000 (units a window)"),
        (6, "quota = 0", "line 6: `quota`: it is 0, allowed is 1 to 1000000000 (units a window)"),
        (6, "quota = -1", "line 6: `quota`: it is -1, allowed is 1 to 1000000000 (units a window)"),
        (6, "quota = 1_000_000_001", "line 6: `quota`: it is 1000000001, allowed is 1 to 1000000000 (units a window)"),
        (
            6,
            "quota = 1.5",
            "line 6: `quota`: it is a number with a fraction, allowed is 1 to 1000000000 (units a window)",
        ),
        (6, "quota = 1\nquota = 2", "line 7: `quota`: is here twice"),
        (6, "quota = ", "line 6: not TOML: string values must be quoted, expected literal string"),
        (7, "window_s = 86401", "line 7: `window_s`: it is 86401, allowed is 1 to 86400 (seconds)"),
        (8, "burst = 0", "line 8: `burst`: it is 0, allowed is 1 to 1000000000 (units at once)"),
        (8, "burst = 4", "line 9: `cost.request`: 5 is more than a burst of 4: it would never be admitted"),
        (8, "burst = 1000000000", "line 8: `burst`: an empty bucket would need 231 days to fill, allowed are 30"),
        (9, "cost = 2", "line 9: `cost`: it is a whole number, allowed is a table"),
        (9, "cost = { request = 0 }", "line 9: `cost.request`: it is 0, allowed is 1 to 1000000000 (units a request)"),
        (9, "cost = { ride = 2 }", "line 9: `cost.ride`: the policy does not speak about this class"),
        (9, "cost = { rides = 2 }", &format!("line 9: `cost`: there is no class \"rides\", allowed is {classes}")),
        (9, "cost = { request = 8 }", "line 17: `override.burst`: 7 is less than a request may cost, 8"),
        (10, "scope = \"world\"", "line 10: `scope`: it is \"world\", allowed is node, fleet"),
        (
            10,
            "scope = \"fleet\"",
            "line 10: `scope`: fleet-wide limits need a store that nodes share, and there is none yet: write \"node\"",
        ),
        (11, "mode = \"off\"", "line 11: `mode`: it is \"off\", allowed is enforce, shadow"),
        (11, "mood = \"shadow\"", "`mood`: no such key; there are name, key, classes, quota"),
        (12, "on_store_loss = true", "line 12: `on_store_loss`: it is true or false, allowed is a text in quotes"),
        (13, "allow = [\"10.0.0.0/33\"]", "line 13: `allow`: \"10.0.0.0/33\" is no address and no CIDR, as 10.0.0.0/8"),
        (
            13,
            "allow = [\"10.0.0.1/8\"]",
            "line 13: `allow`: \"10.0.0.1/8\" is an address inside of 10.0.0.0/8: write 10.0.0.0/8",
        ),
        (
            13,
            "allow = [\"::ffff:10.0.0.1\"]",
            "line 13: `allow`: \"::ffff:10.0.0.1\" is IPv4 written as IPv6: write it as IPv4",
        ),
        (13, "allow = [\n\"192.0.2.1\",\n\"192.0.2.1\"]", "line 15: `allow`: \"192.0.2.1\" is here twice"),
        (13, "allow = [\"203.0.113.0/24\"]", "line 14: `deny`: \"203.0.113.0/24\" is in `allow` too"),
        (14, "deny = [7]", "line 14: `deny`: it is a whole number, allowed is a text in quotes"),
        (16, "    { quota = 10 },", "line 16: `override.key`: is missing, allowed is whom it is about"),
        (
            16,
            "    { key = \"192.0.2.9\" },",
            "line 16: `override.quota`: is missing, allowed is 1 to 1000000000 (units a window)",
        ),
        (16, "    \"192.0.2.9\",", "line 16: `override`: it is a text, allowed is a table"),
        (
            16,
            "    { key = \"192.0.2.0/24\", quota = 10 },",
            "line 16: `override.key`: \"192.0.2.0/24\" is no single address; all of an IPv6 /64 is one",
        ),
        (
            16,
            "    { key = \"2001:db8:1::1\", quota = 10 },",
            "line 17: `override.key`: \"2001:db8:1::9\" has an override already",
        ),
        (
            16,
            "    { key = \"192.0.2.9\", quota = 10, rate = 1 },",
            "line 16: `override.rate`: no such key; there are key, quota, window_s, burst",
        ),
        (22, "key = \"global\"", "line 24: `deny`: \"12\" is not possible: a global policy has one budget for all"),
        (22, "key = \"class\"", &format!("line 24: `deny`: \"12\" is no class, allowed is {classes}")),
        (26, "[overlord]", "line 26: `overlord`: no such key; there are policy, overload"),
        (27, "mode = \"on\"", "line 27: `overload.mode`: it is \"on\", allowed is enforce, shadow, off"),
        (28, "shares = [1, 0.5]", "line 28: `overload.shares`: it has 2 entries, allowed are 5, one a priority"),
        (28, "shares = [1, 2, 3, 4, true]", "line 28: `overload.shares`: it is true or false, allowed is a number"),
        (
            28,
            "shares = [1, 0.5, 0.6, 0.5, 0.1]",
            "line 28: `overload.shares`: allowed is five numbers from 1 down to 0.001",
        ),
        (29, "min_limit = 0", "line 29: `overload.min_limit`: it is 0, allowed is 1 to 10000 (requests)"),
        (29, "min_limit = -5", "line 29: `overload.min_limit`: it is -5, allowed is 1 to 10000 (requests)"),
        (
            29,
            "window_ms = 2.5",
            "line 29: `overload.window_ms`: it is a number with a fraction, allowed is 10 to 1000 (milliseconds)",
        ),
        (29, "min_limit = 500", "line 26: `overload.initial`: allowed is 500 to 1000"),
        (30, "tolerance = nan", "line 30: `overload.tolerance`: allowed is 1.1 to 100"),
        (30, "patience = 4", "line 30: `overload.patience`: no such key; there are mode, shares, tolerance, min_limit"),
        (24, "deny = [\"+12\"]", "line 24: `deny`: \"+12\" is no passenger's id, as the API shows it"),
        (24, "deny = [\"\"]", "line 24: `deny`: \"\" is no passenger's id, as the API shows it"),
    ] {
        let told = told_with(line, other);
        let is_told = told.len() == 1 && told[0].starts_with("line ") && told[0].contains(expected);
        if !is_told {
            wrong.push(format!("{other:?} tells\n  {}\nand not\n  {expected}", told.join("\n  ")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_lines() {
    let text = "[[policy]]\nname = \"a b\"\nkey = \"address\"\nquota = 0\n\n[[policy]]\nname = \"b\"\nkey = \"phone\"\nquota = 1\nmode = 3\n";
    let lines: Vec<usize> = Policies::parse(text).unwrap_err().iter().map(|mistake| mistake.line).collect();
    assert_eq!(lines, [2, 4, 8, 10]);
}

#[test]
fn a_file_without_a_policy_is_refused_since_it_would_open_the_doors() {
    for text in ["", "# nothing\n", "policy = []\n"] {
        assert!(told(text)[0].starts_with("line 1: no [[policy]]"), "{text:?}");
    }
    assert_eq!(told("policy = 3"), ["line 1: `policy`: it is a whole number, allowed is a list"]);
    assert_eq!(told("policy = [3]"), ["line 1: `policy 1`: it is a whole number, allowed is a table"]);
}

#[test]
fn there_are_not_more_policies_than_a_person_can_read_nor_than_one_decision_takes() {
    let policies = |count: usize, key: &str, classes: &str| -> String {
        let one = |i| format!("[[policy]]\nname = \"p{i}\"\nkey = \"{key}\"\nquota = 1\nclasses = {classes}\n");
        (0..count).map(one).collect()
    };
    let some = Policies::parse(&policies(8, "address", "[\"quote\"]")).unwrap();
    assert_eq!(some.list.len(), 8);
    assert_eq!(
        told(&policies(9, "address", "[\"quote\"]")),
        ["line 42: `p8`: allowed are at most 8 address policies for one class, and `quote` has 9"]
    );
    assert_eq!(told(&policies(9, "global", "[\"quote\"]")).len(), 1);
    assert_eq!(
        told(&policies(33, "address", "[\"quote\"]")),
        ["line 1: `policy`: it has 33 entries, allowed are at most 32"]
    );
}

#[test]
fn no_file_is_read_without_end() {
    assert_eq!(told(&"#".repeat(MAX_FILE + 1)), ["the file has 1048577 bytes, allowed are at most 1048576"]);
    let many = "[[policy]]\nname = \"a\"\nkey = \"address\"\nquota = 1\n".to_owned() + &"allow = [\"x\"]\n".repeat(500);
    assert_eq!(told(&many).len(), 101, "some are told, the others are counted");
    let deep = format!("policy = {}{}", "[".repeat(10_000), "]".repeat(10_000));
    assert!(!told(&deep).is_empty());
}

#[test]
fn operators_and_the_load_tool_read_the_policies_as_they_were_written() {
    // The shape of the JSON: `docs` and the load tool rely on it.
    let json = serde_json::to_value(Policies::parse(GOOD).unwrap()).unwrap();
    assert_eq!((&json["overload"]["mode"], &json["overload"]["shares"][4]), (&"shadow".into(), &0.1.into()));
    assert_eq!(
        json["policy"][0],
        serde_json::json!({
            "name": "address", "key": "address", "classes": ["quote", "request"],
            "quota": 100, "window_s": 2, "burst": 50, "cost": { "request": 5 },
            "scope": "node", "mode": "shadow", "on_store_loss": "closed",
            "allow": ["10.0.0.0/8", "2001:db8::/32", "192.0.2.1"], "deny": ["203.0.113.0/24"],
            "override": [
                { "key": "198.51.100.7", "quota": 10, "window_s": 2, "burst": 10 },
                { "key": "2001:db8:1::/64", "quota": 10, "window_s": 60, "burst": 7 },
            ],
        })
    );
}
