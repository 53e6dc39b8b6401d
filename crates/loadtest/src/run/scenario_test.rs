//! What a scenario may say.

use super::*;

const PHASE: &str = "[[phase]]\nname = \"p\"\nseconds = 10\nrate = 1.0\n";

fn parse(text: &str) -> Result<Scenario, String> {
    Scenario::parse("x", &format!("about = \"a\"\n{text}"))
}

#[test]
fn every_scenario_inside_is_valid_and_says_what_it_shows() {
    for (name, text) in BUILT_IN {
        let scenario = Scenario::parse(name, text).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(scenario.about.len() > 20 && scenario.name == name && !scenario.checks.is_empty(), "{name}");
    }
    assert_eq!(Scenario::list().count(), BUILT_IN.len());
}

#[test]
fn a_mistake_is_named_with_what_is_allowed() {
    for (text, part) in [
        ("", "either `[[phase]]` or `[spray]`"),
        (
            "deadline_ms = 0\n[[phase]]\nname = \"p\"\nseconds = 10\nrate = 1.0\n",
            "`deadline_ms` is 0: allowed is 1 to 60000",
        ),
        ("speed = 3\n", "speed"),
        ("checks = [\"beauty > 3\"]\n[[phase]]\nname = \"p\"\nseconds = 1\nrate = 1.0\n", "beauty"),
        ("[[phase]]\nname = \"p\"\nseconds = 1\n", "phase `p`: give either `rate` or `per_s`"),
        ("[[phase]]\nname = \"p\"\nseconds = 1000\nrate = 1.0\n", "phase `p`: `seconds`"),
        ("[mix]\nwalk = 1\n", "walk"),
    ] {
        let error = parse(text).err().unwrap_or_else(|| panic!("accepted: {text}"));
        assert!(error.contains(part), "{error}");
    }
    assert!(parse(PHASE).is_ok());
}

#[test]
fn what_the_spike_is_compared_with_is_no_overload_itself() {
    let spike = Scenario::load("spike").unwrap();
    let rates = |role| spike.phase.iter().filter(move |phase| phase.role == role).map(|phase| phase.rates(1.0));
    for role in [Role::Unloaded, Role::Baseline, Role::Recovery] {
        assert!(rates(role).count() == 1 && rates(role).all(|(from, to)| from.max(to) <= 0.8), "{role:?}");
    }
    assert_eq!(rates(Role::Peak).collect::<Vec<_>>(), [(10.0, 10.0)]);
}

#[test]
fn an_unknown_name_lists_the_known_ones() {
    let error = Scenario::load("spikes").err().unwrap();
    assert!(error.contains("spike, ramp"), "{error}");
}

#[test]
fn rates_are_multiples_of_the_base_and_per_s_is_not() {
    let text =
        "[[phase]]\nname = \"a\"\nseconds = 1\nrate = 2.0\nto = 4.0\n[[phase]]\nname = \"b\"\nseconds = 1\nper_s = 7\n";
    let stretches = parse(text).unwrap().stretches(100.0, &[]);
    assert_eq!((stretches[0].from, stretches[0].to, stretches[0].phase), (200.0, 400.0, 0));
    assert_eq!((stretches[1].from, stretches[1].to, stretches[1].phase), (7.0, 7.0, 1));
}

#[test]
fn a_stretched_schedule_keeps_the_shares_of_its_phases() {
    let mut scenario = Scenario::load("spike").unwrap();
    let share = |s: &Scenario| s.phase[0].seconds / s.seconds();
    let before = share(&scenario);
    scenario.stretch_to(3.0).unwrap();
    assert!((scenario.seconds() - 3.0).abs() < 1e-9 && (share(&scenario) - before).abs() < 1e-9);
}
