use std::{
    fs,
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
};

use runtime::Millis;

use super::*;
use crate::{Keeper, PolicyFile, Source, Start, Whom};

/// A file of policies in a folder of its own, which is gone after the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("traffic-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = Self(std::env::temp_dir().join(name));
        fs::create_dir_all(&folder.0).unwrap();
        folder
    }

    fn path(&self) -> PathBuf {
        self.0.join("traffic.toml")
    }

    fn file(&self, is_optional: bool) -> Option<PolicyFile> {
        Some(PolicyFile { path: self.path(), is_optional })
    }

    fn write(&self, text: &str) {
        fs::write(self.path(), text).unwrap();
    }

    fn run(&self, is_optional: bool) -> Run {
        let start = Start::read(self.file(is_optional)).unwrap_or_else(|unusable| panic!("{unusable}"));
        let registry = Registry::new();
        let admission = Admission::build(&Config::default(), start.policies.clone(), [7; 16], &registry).unwrap();
        let world = World { admission: Arc::new(admission), registry };
        Run { keeper: Keeper::new(world.admission.clone(), start, Millis(0)), world }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A process with a file.
struct Run {
    keeper: Keeper,
    world: World,
}

impl Run {
    fn look(&self) {
        self.keeper.look(Nanos(0), Millis(1));
    }

    /// What is in effect, by name and burst.
    fn holds(&self) -> Vec<(String, u32)> {
        let set = self.world.admission.policies();
        set.policies().list.iter().map(|policy| (policy.name.clone(), policy.budget.burst.get())).collect()
    }

    fn reloads(&self) -> [f64; 3] {
        ["applied", "refused", "unchanged"]
            .map(|outcome| self.world.sample("gateway_traffic_reloads_total", &[outcome]).unwrap())
    }
}

fn one(burst: u32) -> String {
    policy("passenger", "passenger", burst, "")
}

fn held(burst: u32) -> Vec<(String, u32)> {
    vec![("passenger".to_owned(), burst)]
}

#[test]
fn a_change_of_the_file_is_taken_once_it_stays_and_keeps_credit() {
    let folder = Folder::new();
    folder.write(&one(10));
    let run = folder.run(false);
    assert!(run.world.of(1, Class::Ride, 0).is_admitted());
    run.look();
    folder.write(&one(20));
    run.look();
    assert_eq!(run.holds(), held(10), "it may still be written");
    run.look();
    assert_eq!(run.holds(), held(20));
    let whom = Whom { passenger: Some(1), ..Whom::default() };
    assert_eq!(run.world.admission.explain(&whom, Nanos(0))[0].remaining, 19);
    let status = run.keeper.status();
    assert_eq!((status.source, status.loaded_at), (Source::File, Millis(1)));
    for _ in 0..5 {
        run.look();
    }
    assert_eq!(run.reloads(), [1.0, 0.0, 0.0], "a file that stays is not offered again");
}

#[test]
fn a_file_that_is_being_written_is_left_alone() {
    let folder = Folder::new();
    let whole = one(10) + &policy("global", "global", 9, "");
    folder.write(&one(10));
    let run = folder.run(false);
    // Half of it would be a valid file, and a third of it none.
    for length in [0, 20, one(10).len(), one(10).len() + 20] {
        folder.write(&whole[..length]);
        run.look();
    }
    folder.write(&whole);
    run.look();
    assert_eq!((run.holds(), run.reloads()), (held(10), [0.0; 3]));
    run.look();
    assert_eq!((run.holds().len(), run.reloads()), (2, [1.0, 0.0, 0.0]));
}

#[test]
fn a_bad_file_is_refused_once_and_what_was_in_effect_stays() {
    let folder = Folder::new();
    folder.write(&one(10));
    let run = folder.run(false);
    folder.write(&(one(20) + "\nwrong = 1\n"));
    for _ in 0..5 {
        run.look();
    }
    assert_eq!((run.holds(), run.reloads()), (held(10), [0.0, 1.0, 0.0]));
    let refused = run.keeper.status().refused.expect("told to operators");
    assert_eq!(refused.mistakes.iter().map(|mistake| mistake.line).collect::<Vec<_>>(), [9]);
    fs::remove_file(folder.path()).unwrap();
    for _ in 0..5 {
        run.look();
    }
    assert_eq!((run.holds(), run.reloads()), (held(10), [0.0, 2.0, 0.0]), "nor does it matter that it is gone");
    // What was in effect all the time is a good file again.
    folder.write(&one(10));
    for _ in 0..5 {
        run.look();
    }
    assert_eq!((run.holds(), run.reloads()), (held(10), [0.0, 2.0, 1.0]));
    assert!(run.keeper.status().refused.is_none());
}

#[test]
fn an_operators_policies_hold_until_the_file_changes_or_is_asked_for() {
    let folder = Folder::new();
    folder.write(&one(10));
    let run = folder.run(false);
    assert!(run.keeper.put("nonsense", Nanos(0), Millis(5)).is_err());
    assert_eq!((run.holds(), run.keeper.status().source), (held(10), Source::File));
    assert!(run.keeper.put(&one(30), Nanos(0), Millis(5)).unwrap().is_different);
    for _ in 0..5 {
        run.look();
    }
    assert_eq!((run.holds(), run.keeper.status().source), (held(30), Source::Operator));
    assert!(run.keeper.reload(Nanos(0), Millis(6)).unwrap().unwrap().is_different);
    assert_eq!((run.holds(), run.keeper.status().source), (held(10), Source::File));
    run.keeper.put(&one(30), Nanos(0), Millis(7)).unwrap();
    folder.write(&one(40));
    run.look();
    run.look();
    assert_eq!((run.holds(), run.keeper.status().source), (held(40), Source::File));
    folder.write("nonsense");
    assert!(run.keeper.reload(Nanos(0), Millis(8)).unwrap().is_err(), "asked for, it is not waited for");
    assert_eq!(run.holds(), held(40));
}

#[test]
fn a_process_starts_with_a_good_file_or_with_what_is_built_in_where_none_is_needed() {
    let folder = Folder::new();
    let unusable = Start::read(folder.file(false)).unwrap_err().to_string();
    assert!(unusable.contains("traffic.toml is refused:\n  it cannot be read: "), "{unusable}");
    let run = folder.run(true);
    assert_eq!((run.holds().len(), run.keeper.status().source), (6, Source::BuiltIn));
    run.look();
    run.look();
    assert_eq!(run.reloads(), [0.0; 3], "that there is none is no news");
    folder.write(&one(10));
    run.look();
    run.look();
    assert_eq!((run.holds(), run.keeper.status().source), (held(10), Source::File));
    folder.write("[[policy]]\nname = 7\n");
    let unusable = Start::read(folder.file(true)).unwrap_err().to_string();
    assert!(
        unusable.contains("\n  line 2: `name`: it is a whole number"),
        "a file that is there has to be good: {unusable}"
    );
    let none = Start::read(None).unwrap();
    assert_eq!(none.policies, Policies::built_in());
}

#[test]
fn what_is_no_file_is_not_waited_for() {
    let folder = Folder::new();
    fs::create_dir(folder.path()).unwrap();
    let unusable = Start::read(folder.file(true)).unwrap_err().to_string();
    assert!(unusable.contains("it is no file"), "{unusable}");
}
